package contract

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"yitong/chaincode/refusal"
)

// decode reads the one argument of a function: a single JSON object (RFC 8259) of at most
// limit bytes and MaxDepth levels, in which every name is known, spelt exactly, and occurs
// once, in valid UTF-8, with nothing after it. Anything else is refused, for what two
// readers may read differently must not be on a ledger. Codes: too-large, malformed.
func decode[T any](argument string, limit int) (T, error) {
	var doc T
	if len(argument) > limit {
		return doc, refusal.New(refusal.TooLarge, fmt.Sprintf("the argument has %d bytes", len(argument)),
			fmt.Sprintf("at most %d bytes", limit))
	}
	if !strings.HasPrefix(strings.TrimLeft(argument, " \t\r\n"), "{") {
		return doc, refusal.New(refusal.Malformed, "the argument is not a JSON object", "one JSON object")
	}
	if depth(argument) > MaxDepth {
		return doc, refusal.New(refusal.Malformed, "the argument is nested too deeply", fmt.Sprintf("at most %d levels", MaxDepth))
	}
	if err := json.Unmarshal([]byte(argument), &doc, json.RejectUnknownMembers(true)); err != nil {
		var zero T
		return zero, malformed(err)
	}
	return doc, nil
}

// malformed says what is wrong and where. The library's own sentences are not for keeping:
// they vary from build to build.
func malformed(err error) *refusal.Refusal {
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return refusal.New(refusal.Malformed, fmt.Sprintf("the name at %s occurs twice", place(syntactic.JSONPointer)), "each name once")
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return refusal.New(refusal.Malformed, fmt.Sprintf("the name at %s is unknown", place(semantic.JSONPointer)),
			"the names of the function's document, spelt exactly")
	case errors.As(err, &semantic):
		message := fmt.Sprintf("the value at %s is not usable", place(semantic.JSONPointer))
		if semantic.Err != nil {
			message += fmt.Sprintf(": %.200s", semantic.Err)
		}
		return refusal.New(refusal.Malformed, message, "a value of the type that the function's document has there")
	case errors.As(err, &syntactic):
		return refusal.New(refusal.Malformed, fmt.Sprintf("the argument is not valid JSON from byte %d on", syntactic.ByteOffset),
			"one JSON object in UTF-8 and nothing after it")
	}
	return refusal.New(refusal.Malformed, "the argument is not valid JSON", "one JSON object in UTF-8 and nothing after it")
}

func place(p jsontext.Pointer) string {
	if p == "" {
		return "the top"
	}
	return fmt.Sprintf("%.100s", string(p))
}

// depth is the nesting of a JSON text, looked at before it is parsed.
func depth(text string) int {
	deepest, level, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// encode writes a document, of state or of an answer. Equal documents have equal bytes.
func encode(doc any) ([]byte, error) {
	b, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return b, nil
}
