const maxFile = 2 ** 30;
const $ = (id) => document.getElementById(id);
// The module is taken out of the document, which so stays small to walk.
const packed = $("module").textContent.trim();
$("module").remove();
let words = languages.en, said = null, worker = null, running = 0;

const fill = (text, ...values) => text.replace(/\{(\d)\}/g, (_, n) => values[n]);
const word = (code) => words.codes[code] || code;

// element makes a node; text never becomes markup.
function element(name, attributes = {}, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
	e.append(...children);
	return e;
}

function speak(code) {
	words = languages[code];
	document.documentElement.lang = code === "zh" ? "zh-CN" : "en";
	document.title = words.title;
	for (const e of document.querySelectorAll("[data-word]")) e.textContent = words[e.dataset.word];
	for (const b of document.querySelectorAll("[data-language]")) b.setAttribute("aria-pressed", String(b.dataset.language === code));
	if (said) said();
}

// say keeps what is said as a function, so that it can be said again in the other language.
function say(what) { said = what; what(); }

function status(key, ...values) {
	say(() => { $("status").textContent = key ? fill(words[key], ...values) : ""; });
}

// begin starts a worker with the checker in it. A blob needs no server.
async function begin() {
	const source = new Blob([$("engine").textContent], { type: "text/javascript" });
	const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
	const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
	const module = await new Response(plain).arrayBuffer();
	const started = new Worker(URL.createObjectURL(source));
	await ask(started, { module }, [module]);
	return started;
}

function ask(to, message, moved) {
	return new Promise((resolve, reject) => {
		to.onmessage = ({ data }) => data.problem ? reject(new Error(data.problem)) : resolve(data);
		to.onerror = (e) => reject(new Error(e.message || "the worker ended"));
		to.postMessage(message, moved);
	});
}

async function check() {
	const file = $("file").files[0], digest = $("genesis").value.replace(/\s+/g, "").toLowerCase();
	const mine = ++running;
	$("verdict").hidden = true;
	document.body.dataset.state = "idle";
	const wrong = digest !== "" && !/^[0-9a-f]{64}$/.test(digest);
	$("genesis").setAttribute("aria-invalid", String(wrong));
	$("chosen").textContent = file ? fill(words.chosen, file.name, file.size.toLocaleString(words === languages.zh ? "zh-CN" : "en")) : "";
	if (wrong) return status("badGenesis", digest.length);
	if (!file) return status("");
	if (!digest) return status("needGenesis");
	if (file.size > maxFile) return status("tooLong");
	try {
		// A file given while another is being checked takes its place.
		if (worker && worker.busy) { worker.terminate(); worker = null; }
		if (!worker) {
			status("loading");
			const started = await begin();
			if (mine !== running) return started.terminate();
			worker = started;
		}
		const bytes = await file.arrayBuffer();
		if (mine !== running) return;
		status("checking");
		worker.busy = true;
		const { verdict } = await ask(worker, { file: bytes, genesis: digest }, [bytes]);
		worker.busy = false;
		if (mine !== running) return;
		if (!verdict.holds && !verdict.check) throw new Error(verdict.finding);
		say(() => { $("status").textContent = ""; show(verdict); });
		$("verdict").dataset.verdict = JSON.stringify(verdict);
		document.body.dataset.state = "done";
	} catch (problem) {
		if (mine !== running) return; // the worker is another's by now
		if (worker) { worker.terminate(); worker = null; }
		status("broken", problem.message);
		document.body.dataset.state = "broken";
	}
}

function show(v) {
	const answer = element("div", { class: "answer " + (v.holds ? "holds" : "fails") }, element("strong", {}, v.holds ? words.holds : words.fails));
	if (!v.holds) {
		answer.append(element("p", {}, words.check + ": " + v.check + (words.checks[v.check] ? " – " + words.checks[v.check] : "")), element("p", {}, element("code", {}, v.finding)), element("p", {}, words.failsNext));
		$("verdict").replaceChildren(answer);
	} else {
		answer.append(element("span", {}, fill(words.holdsOn, v.result.genesis, v.result.channel)));
		$("verdict").replaceChildren(answer, ...shown(v.result));
	}
	$("verdict").hidden = false;
}

function shown(r) {
	const a = r.access, d = a.decision, list = element("dl");
	const tell = (key, value) => list.append(element("dt", {}, words[key]), element("dd", {}, value));
	tell("access", element("code", {}, a.id));
	tell("askedBy", a.requester);
	tell("of", a.custodian);
	tell("handle", element("code", {}, a.handle));
	tell("purpose", a.purpose);
	tell("classes", a.classes.join(", "));
	tell("at", a.at);
	tell("decision", `${word(d.outcome)} (${word(d.rule.reason)})`);
	if (d.outcome === "permit") {
		tell("permitted", fill(words.until, d.scope.classes.join(", "), a.expires));
		for (const rule of d.scope.rules || []) tell("rule", ruled(rule));
	}
	for (const no of d.refused || []) tell("refused", `${no.classes.join(", ")} (${word(no.rule.reason)})`);
	for (const { consent: c } of r.consents || []) tell("restsOn", fill(words.consent, c.id, c.version, word(c.status), c.at));
	tell("released", r.release ? fill(words.manifest, r.release.at, r.release.manifest) : words.nothing);
	tell("received", r.receipt ? `${r.receipt.at} (${word(r.receipt.outcome)})` : words.unread);
	return [
		element("h2", {}, words.shown), list,
		element("h2", {}, words.transactions),
		table(["block", "time", "member", "function", "endorsed", "valid"], 2, r.transactions.map((t) => [`${t.block}.${t.index}`, t.time.replace("T", " ").replace(/\.\d+Z$/, "Z"), t.creator, t.function, (t.endorsers || []).join(", "), t.confirmed ? words.confirmed : words.unconfirmed])),
		element("h2", {}, words.blocks),
		table(["block", "hash", "signers"], 1, r.blocks.map((b) => [String(b.number), element("code", {}, b.hash), b.signers ? b.signers.join(", ") : words.trusted])),
		element("h2", {}, words.limits), element("p", {}, words.limitsText),
	];
}

// ruled tells what is left of a provision in a decision; exceptions to it follow, further in.
function ruled(r) {
	const told = ["\u2003".repeat(r.depth || 0) + word(r.type), r.classes.join(", ")];
	if (r.recordTypes) told.push(words.forms, r.recordTypes.join(", "));
	if (r.labels) told.push(words.labelled, r.labels.join(", "));
	if (r.dataPeriod) told.push(words.ofTime, `${r.dataPeriod.start || ""}..${r.dataPeriod.end || ""}`);
	if (r.withdrawn) told.push(words.over);
	return told.join(" ");
}

// table makes one whose first columns are numbers and times, which stay on one line.
function table(columns, numbers, rows) {
	const head = element("tr", {}, ...columns.map((c) => element("th", { scope: "col" }, words[c])));
	const body = rows.map((row) => element("tr", {}, ...row.map((cell, i) => element("td", i < numbers ? { class: "n" } : {}, cell))));
	return element("div", { class: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

for (const b of document.querySelectorAll("[data-language]")) b.addEventListener("click", () => speak(b.dataset.language));
$("genesis").addEventListener("change", check);
$("file").addEventListener("change", check);
for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (e) => { e.preventDefault(); $("drop").classList.add("over"); });
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, (e) => { e.preventDefault(); $("drop").classList.remove("over"); });
document.addEventListener("drop", (e) => { if (e.dataTransfer.files.length) { $("file").files = e.dataTransfer.files; check(); } });
speak(location.hash === "#zh" || location.hash !== "#en" && (navigator.language || "").startsWith("zh") ? "zh" : "en");
document.body.dataset.state = "idle";
