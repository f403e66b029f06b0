// Calls functions of the examples: reads [[name, ...arguments], ...] as JSON, and prints their results as the last line.
import * as storefront from "./storefront.js";

type Call = [name: string, ...given: unknown[]];

const functions: Record<string, unknown> = storefront;
const calls = JSON.parse(process.argv[2] ?? "[]") as Call[];
const results: unknown[] = [];
for (const [name, ...given] of calls) {
  const called = functions[name];
  if (typeof called !== "function") throw new Error(`the examples have no function ${name}`);
  results.push(await called(...given));
}
console.log(JSON.stringify(results));
