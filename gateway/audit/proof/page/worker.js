
// The worker: it holds the checker and answers one file after the other.
"use strict";
// There is a folder, and nothing in it: a library of Fabric's looks for a file of its own
// beside the program, and takes it well that there is none.
process.cwd = () => "/";
for (const name of ["stat", "lstat", "open"]) fs[name] = (...args) => args.pop()(Object.assign(new Error("not found"), { code: "ENOENT" }));
let ready;
const started = new Promise((resolve) => { ready = resolve; });
globalThis.yitongReady = () => ready();
self.onmessage = async ({ data }) => {
	try {
		if (data.module) {
			const go = new Go();
			const { instance } = await WebAssembly.instantiate(data.module, go.importObject);
			go.run(instance);
			await started;
			self.postMessage({ ready: true });
			return;
		}
		await started;
		self.postMessage({ verdict: JSON.parse(globalThis.yitongJudge(new Uint8Array(data.file), data.genesis)) });
	} catch (problem) {
		self.postMessage({ problem: String(problem) });
	}
};
