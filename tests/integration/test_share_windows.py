"""Our share of Polar's rate limit over hours, whatever befalls: the scripts, on a clock that leaps."""

import json
from bisect import bisect_right
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.support.examples import examples
from workers.store.scripts import load_script

_MINUTE_MS = 60_000
_SCRIPTS = ("take_request", "background_request", "pause")

# The part of Redis that the scripts use; the story sets its clock.
_FAKE = """
local now, values, ends = 1790000000000, {}, {}

local function alive(key)
  if ends[key] and ends[key] <= now then
    values[key], ends[key] = nil, nil
  end
  return values[key]
end

local commands = {
  TIME = function() return { math.floor(now / 1000), now % 1000 * 1000 } end,
  EXISTS = function(key) return alive(key) and 1 or 0 end,
  GET = function(key) return alive(key) or false end,
  PTTL = function(key) return not alive(key) and -2 or ends[key] and ends[key] - now or -1 end,
  DEL = function(key) values[key], ends[key] = nil, nil end,
  SET = function(key, value, _, ms) values[key], ends[key] = value, now + ms end,
  EXPIRE = function(key, seconds) ends[key] = now + seconds * 1000 end,
  HEXISTS = function(key, field) return alive(key) and values[key][field] and 1 or 0 end,
  HSET = function(key, field, value)
    values[key] = alive(key) or {}
    values[key][field] = value
  end,
  HINCRBY = function(key, field, by)
    values[key] = alive(key) or {}
    values[key][field] = (values[key][field] or 0) + by
  end,
}
commands.HSETNX = commands.HSET

local redis = { call = function(name, ...) return commands[name](...) end }
local scripts = {}
"""

# Returns when requests were made. The step `eager` makes a request whenever it may, for some ms.
_STORY = """
local burst, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local made, steps = {}, {}

local function note(may)
  if may then
    made[#made + 1] = string.format('%.0f', now)
  end
  return may
end

local function take()
  return note(scripts.take_request({ 'budget', 'pause', 'thrift' }, { burst, interval, 'used up' }) == 1)
end

local function spare()
  return note(scripts.background_request({ 'budget', 'pause', 'thrift' }, { burst, interval, '1' }) == 0)
end

local function pause(ms, cause)
  scripts.pause({ 'pause', 'outage', 'probe', 'thrift', 'clock' }, { ms, 'Polar answered', cause, '1' })
end

function steps.wait(ms) now = now + ms end
function steps.over() commands.DEL('outage') end
function steps.broken(ms) pause(ms, 'unavailable') end
function steps.limited(ms) pause(ms, 'rate_limited') end

function steps.spare(most)
  for _ = 1, most do
    if not spare() then
      return
    end
  end
end

function steps.eager(ms)
  local till = now + ms
  while now < till do
    if not take() then
      now = math.min(till, ends.pause)
    end
  end
end

for _, step in ipairs(cjson.decode(ARGV[3])) do
  steps[step[1]](step[2])
end
return made
"""

Story = list[tuple[str, int]]


def requests_in(redis: Redis, per_minute: int, story: Story) -> list[int]:
    """Return when requests were made (ms), by the scripts as they are."""
    burst = per_minute // 2  # as workers.store.throttle has it
    defined = [f"scripts.{name} = function(KEYS, ARGV)\n{load_script(name)}\nend\n" for name in _SCRIPTS]
    args = [str(burst), repr(_MINUTE_MS / (per_minute - burst)), json.dumps(story)]
    return list(map(int, cast(Any, redis.eval("".join([_FAKE, *defined, _STORY]), 0, *args))))


def most_in_a_minute(moments: list[int]) -> int:
    return max((bisect_right(moments, at + _MINUTE_MS) - i for i, at in enumerate(moments)), default=0)


SHARES = st.sampled_from([2, 3, 5, 10, 17, 60, 300])
SPANS = st.sampled_from([1, 150, 1_000, 7_500, 30_000, 59_999, 60_000, 299_999])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["wait", "eager"]), SPANS),
    st.tuples(st.just("spare"), st.sampled_from([1, 7, 400])),
    st.tuples(st.sampled_from(["limited", "broken"]), st.sampled_from([500, 1_000, 60_000])),
    st.tuples(st.just("over"), st.just(0)),
)


@settings(max_examples=examples(200))
@given(per_minute=SHARES, story=st.lists(STEPS, max_size=60))
def test_no_minute_has_more_requests_than_our_share(redis_url: str, per_minute: int, story: Story) -> None:
    """Neither while the share shrinks after a 429 nor while it grows back."""
    with Redis.from_url(redis_url) as redis:
        assert most_in_a_minute(requests_in(redis, per_minute, story)) <= per_minute


def shares(moments: list[int], minutes: list[tuple[int, int]]) -> list[int]:
    """Return the most requests in any minute of each of these spans (minutes since the first request)."""
    began = moments[0]
    return [
        most_in_a_minute([at for at in moments if begin <= (at - began) / _MINUTE_MS < end])
        for begin, end in minutes
    ]


def test_after_each_429_there_are_half_as_many_in_a_minute_and_step_by_step_as_many_again(
    redis_url: str,
) -> None:
    limited: Story = [("limited", 1_000), ("wait", 1_000)]
    with Redis.from_url(redis_url) as redis:
        lean = [
            requests_in(redis, 320, [*(times * limited), ("eager", 4 * _MINUTE_MS)]) for times in range(5)
        ]
        back = requests_in(redis, 320, [*(5 * limited), ("eager", 20 * _MINUTE_MS)])
    assert [most_in_a_minute(one) for one in lean] == [320, 160, 80, 40, 40]
    # A worker that always asks never saves up a burst: it gets the other half of the share.
    assert shares(back, [(1, 4), (6, 9), (11, 14), (16, 19)]) == [20 + 1, 40 + 1, 80 + 1, 160 + 1]
