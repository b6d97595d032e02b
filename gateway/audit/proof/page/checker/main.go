//go:build js && wasm

// Checker is the proof's check as WebAssembly, for the worker of the browser page
// (package page). It has no file, no network and no clock: a file and a digest go in, a
// verdict comes out.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"syscall/js"

	"yitong/gateway/audit/proof"
)

func main() {
	js.Global().Set("yitongJudge", js.FuncOf(judge))
	js.Global().Call("yitongReady")
	select {} // it answers until the worker ends
}

// judge takes a Uint8Array and 64 hexadecimal digits, and gives a proof.Verdict in JSON.
func judge(_ js.Value, args []js.Value) (answer any) {
	defer func() {
		if r := recover(); r != nil {
			answer = told(proof.Verdict{Finding: fmt.Sprintf("the check broke off: %v", r)})
		}
	}()
	file := make([]byte, args[0].Length())
	js.CopyBytesToGo(file, args[0])
	digest, err := hex.DecodeString(args[1].String())
	if err != nil || len(digest) != 32 {
		return told(proof.Verdict{Check: proof.Form, Finding: "the digest of the first block must be 64 hexadecimal digits"})
	}
	return told(proof.Judge(bytes.NewReader(file), [32]byte(digest)))
}

func told(v proof.Verdict) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
