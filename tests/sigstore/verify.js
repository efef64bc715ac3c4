// Holds a signature in a registry against a public key as any client would that knows nothing of Sheaf: by what the OCI
// distribution specification says of referrers, and with Sigstore's own verifier.
//
//   node verify.js http://REGISTRY/v2/NAME TAG KEY.pub [DIGEST]    (DIGEST in place of that of the tag's manifest)
import { createHash, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { Verifier, toSignedEntity, toTrustMaterial } from "@sigstore/verify";

const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PREDICATE = "https://sigstore.dev/cosign/sign/v1";
const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

const [repository, tag, keyFile, other] = process.argv.slice(2);

function check(holds, why) {
  if (!holds) throw new Error(why);
}

function sha256(bytes) {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

// Bytes of the registry; nothing where there are none.
async function got(path) {
  const response = await fetch(`${repository}/${path}`, { headers: { accept: `${MANIFEST}, ${INDEX}` } });
  if (response.status === 404) return undefined;
  check(response.ok, `${path}: ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

async function exactly(kind, digest) {
  const bytes = await got(`${kind}/${digest}`);
  check(bytes, `${digest} is not there`);
  check(sha256(bytes) === digest, `${digest} is something else`);
  return bytes;
}

const manifest = await got(`manifests/${tag}`);
check(manifest, `there is no ${tag}`);
const digest = sha256(manifest);

// A registry that has no list of what is attached keeps one under a tag.
const list = (await got(`referrers/${digest}`)) ?? (await got(`manifests/${digest.replace(":", "-")}`));
check(list, "nothing is attached");
const attached = JSON.parse(list).manifests.filter((one) => one.artifactType === BUNDLE);
check(attached.length === 1, `${attached.length} bundles are attached`);
const holder = JSON.parse(await exactly("manifests", attached[0].digest));
check(holder.subject.digest === digest, "what is attached is of something else");
check(holder.layers.length === 1 && holder.layers[0].mediaType === BUNDLE, "it holds no bundle");
const bundle = bundleFromJSON(JSON.parse(await exactly("blobs", holder.layers[0].digest)));

// Nothing but the key is trusted: there is no log and no authority.
const key = createPublicKey(readFileSync(keyFile));
const nothing = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const validFor = () => true;
const material = toTrustMaterial(nothing, () => ({ publicKey: key, validFor }));
const thresholds = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
new Verifier(material, thresholds).verify(toSignedEntity(bundle));

// The signature is the key's. What it is of, the caller has to look at: Sigstore's verifier leaves it to them.
const spki = key.export({ type: "spki", format: "der" });
const hint = createHash("sha256").update(spki).digest("base64");
check(bundle.verificationMaterial.content.publicKey.hint === hint, "the bundle names another key");
const envelope = bundle.content.dsseEnvelope;
check(envelope.payloadType === "application/vnd.in-toto+json", "it is no statement");
const statement = JSON.parse(envelope.payload);
check(statement.predicateType === PREDICATE, "it says something else");
const subjects = statement.subject.map((subject) => `sha256:${subject.digest.sha256}`);
check(subjects.length === 1 && subjects[0] === (other ?? digest), `it is of ${subjects}, and of nothing else`);
console.log(`${digest} is signed`);
