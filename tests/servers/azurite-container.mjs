#!/usr/bin/env node
// Makes the container `sheaf` in what azurite.sh serves out of FOLDER, and prints the account's key:
//
//   tests/servers/azurite-container.mjs FOLDER

import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

const [folder] = process.argv.slice(2);
const read = (name) => readFileSync(`${folder}/${name}`, "utf8").trim();
const [url, key] = [read("url"), read("key")];
const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-08-06" };
const named = Object.entries(headers).map(([name, value]) => `${name}:${value}`);
// Eleven headers, of which none is sent, stand between the method and these.
const signed = ["PUT", ...Array(11).fill(""), ...named, "/sheaf/sheaf/sheaf", "restype:container"];
const signature = createHmac("sha256", Buffer.from(key, "base64")).update(signed.join("\n")).digest("base64");
const answer = await fetch(`${url}/sheaf?restype=container`, {
  method: "PUT",
  headers: { ...headers, authorization: `SharedKey sheaf:${signature}` },
});
if (answer.status !== 201) {
  console.error(answer.status, await answer.text());
  process.exit(1);
}
console.log(key);
