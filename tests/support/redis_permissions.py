"""The commands of Redis that clients and tests use for themselves."""

# Of each client, and of this test.
OF_EVERYBODY = {
    *("hello", "auth", "info", "evalsha", "script|load", "config|get", "replicaof", "acl|setuser", "acl|log"),
    *(
        "client|setinfo",
        "client|setname",
        "client|list",
        "client|info",
        "client|maint_notifications",
        "publish",
    ),
}
