// Drives the façade with npm's fhir-kit-client 2.0.3, which others wrote. What to do comes as JSON on
// standard input; what fails throws.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const packages = process.env.NODE_PATH.split(path.delimiter)[0];
const { Client } = await import(pathToFileURL(path.join(packages, "fhir-kit-client/dist/index.js")));
const { Agent } = createRequire(path.join(packages, "x.js"))("undici");

const given = JSON.parse(readFileSync(0));
const connect = (door) =>
  new Client({
    baseUrl: door.base,
    requestOptions: {
      dispatcher: new Agent({ connect: { ca: readFileSync(door.ca), cert: readFileSync(door.cert), key: readFileSync(door.key), servername: door.serverName || undefined } }),
    },
  });
const [hospital, insurer] = [connect(given.hospital), connect(given.insurer)];
const refused = (doing, status, code) =>
  assert.rejects(doing, (e) => {
    assert.equal(e.response.status, status, JSON.stringify(e.response.data));
    assert.equal(e.response.data.resourceType, "OperationOutcome");
    assert.equal(e.response.data.issue[0].details.coding[0].code, code);
    return true;
  });

const statement = await hospital.capabilityStatement();
assert.equal(statement.fhirVersion, "4.0.1");
const offered = Object.fromEntries(statement.rest[0].resource.map((r) => [r.type, r.interaction.map((i) => i.code)]));
for (const want of ["read", "vread", "history-instance", "create", "update", "search-type"]) assert.ok(offered.Consent.includes(want), `Consent ${want}: ${offered.Consent}`);
assert.ok(!offered.Consent.includes("delete") && !offered.AuditEvent.includes("create"));

// Consent: created, read, found, changed, page by page.
const made = [];
for (const consent of given.consents) made.push(await hospital.create({ resourceType: "Consent", body: consent }));
assert.equal(Client.httpFor(made[0]).response.status, 201);
assert.equal((await hospital.read({ resourceType: "Consent", id: made[0].id })).meta.versionId, "1");
let page = await hospital.search({ resourceType: "Consent", searchParams: { "patient.identifier": given.patient, _count: 2 }, options: { postSearch: true } });
const found = [];
for (;;) {
  found.push(...(page.entry ?? []).map((e) => e.resource.id));
  const next = await hospital.nextPage({ bundle: page });
  if (!next) break;
  assert.ok(!page.link.some((l) => l.url.includes(given.patient.split("|")[1])), "a link names the patient");
  page = next;
}
assert.deepEqual(found.toSorted(), made.map((c) => c.id).toSorted());

const change = { ...given.consents[0], id: made[0].id, provision: given.narrower };
await refused(hospital.update({ resourceType: "Consent", id: made[0].id, body: change }), 428, "version-needed");
await refused(hospital.update({ resourceType: "Consent", id: made[0].id, body: change, options: { headers: { "If-Match": 'W/"9"' } } }), 412, "version-conflict");
const amended = await hospital.update({ resourceType: "Consent", id: made[0].id, body: change, options: { headers: { "If-Match": 'W/"1"' } } });
assert.equal(amended.meta.versionId, "2");
assert.equal((await hospital.vread({ resourceType: "Consent", id: made[0].id, version: "1" })).meta.versionId, "1");
assert.equal((await hospital.history({ resourceType: "Consent", id: made[0].id })).entry.length, 2);
await refused(hospital.delete({ resourceType: "Consent", id: made[0].id }), 405, "method-not-allowed");
await refused(hospital.read({ resourceType: "Consent", id: "0".repeat(32) }), 404, "not-found");

// List: what IHE's consumers ask for first.
const sets = await hospital.search({ resourceType: "List", searchParams: { "patient.identifier": given.patient, code: "submissionset", status: "current" }, options: { postSearch: true } });
for (const { resource } of sets.entry ?? []) {
  assert.equal((await hospital.read({ resourceType: "List", id: resource.id })).code.coding[0].code, "submissionset");
  assert.ok(resource.entry.length > 0);
}
assert.ok(sets.entry?.length > 0, "the patient's record is in no List");

// Task: asked, answered, opened by an operation.
const task = await insurer.create({ resourceType: "Task", body: given.task });
assert.equal(task.status, "accepted", JSON.stringify(task));
const opened = await insurer.operation({ name: "$open", resourceType: "Task", id: task.id });
assert.equal(opened.status, "completed");
const tasks = await insurer.search({ resourceType: "Task", searchParams: { status: "completed", _id: task.id } });
assert.equal(tasks.entry[0].resource.id, task.id);

// Withdrawn, and asked again.
for (const { id } of made) {
  const present = await hospital.read({ resourceType: "Consent", id });
  const gone = await hospital.update({ resourceType: "Consent", id, body: { ...present, status: "inactive" }, options: { headers: { "If-Match": `W/"${present.meta.versionId}"` } } });
  assert.equal(gone.status, "inactive");
}
const rejected = await insurer.create({ resourceType: "Task", body: given.task });
assert.equal(rejected.status, "rejected");
await refused(insurer.operation({ name: "$open", resourceType: "Task", id: rejected.id }), 403, "not-permitted");
const trail = await hospital.search({ resourceType: "AuditEvent", searchParams: { "entity.identifier": `urn:yitong:access|${rejected.id}`, outcome: "8" } });
assert.equal(trail.entry.length, 1);
console.log("done");
process.exit(0); // its connections stay open
