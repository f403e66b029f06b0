// Polar's own handler for Express, as its documentation shows it. It verifies and parses, and stores nothing.
import express from "express";
import { Webhooks } from "@polar-sh/express";

const app = express();
app.use(express.json());
app.post(
  "/webhooks/polar",
  Webhooks({ webhookSecret: process.env.POLAR_WEBHOOK_SECRET, onPayload: async () => {} }),
);
app.listen(Number(process.env.PORT), "127.0.0.1");
