// Signs a statement of any kind about a manifest, as a Sigstore bundle, with nothing but what Node.js has.
//
//   node sign.js KEY DIGEST PREDICATE-TYPE
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const [keyFile, digest, predicateType] = process.argv.slice(2);
const key = createPrivateKey(readFileSync(keyFile));
const spki = createPublicKey(key).export({ type: "spki", format: "der" });
const payloadType = "application/vnd.in-toto+json";
const statement = {
  _type: "https://in-toto.io/Statement/v1",
  subject: [{ digest: { sha256: digest.replace("sha256:", "") } }],
  predicateType,
  predicate: {},
};
const payload = Buffer.from(JSON.stringify(statement));
const signed = Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
const bundle = {
  mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
  verificationMaterial: { publicKey: { hint: createHash("sha256").update(spki).digest("base64") } },
  dsseEnvelope: {
    payload: payload.toString("base64"),
    payloadType,
    signatures: [{ sig: sign("sha256", signed, key).toString("base64") }],
  },
};
process.stdout.write(JSON.stringify(bundle));
