package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// vocabulary is what rules may speak of, as a Cedar schema; the actions are added to it. A
// word that isn't in it never matches: a forbid with a slip of the pen would forbid nothing.
const vocabulary = `
entity Caller { role: String, kind: String, member: String };
entity Gateway { kind: String };
type Call = { purpose: String, purposes: Set<String>, classes: Set<String>, scopes: Set<String> };
`

// services lists the methods of the gateway's API by their service, from the API's own
// description.
var services = sync.OnceValue(func() map[string][]string {
	found := map[string][]string{}
	protoregistry.GlobalFiles.RangeFilesByPackage(yitongv1.File_yitong_v1_yitong_proto.Package(), func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				found[string(s.Name())] = append(found[string(s.Name())], string(s.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return found
})

// knownMethod reports whether the API has a method, Service.Method.
func knownMethod(name string) bool {
	service, method, _ := strings.Cut(name, ".")
	return slices.Contains(services()[service], method)
}

var validator = sync.OnceValue(func() *validate.Validator {
	text := strings.Builder{}
	text.WriteString(vocabulary)
	for service, methods := range services() {
		fmt.Fprintf(&text, "action %q;\n", service)
		for _, method := range methods {
			fmt.Fprintf(&text, "action %q in [%q] appliesTo { principal: Caller, resource: Gateway, context: Call };\n", service+"."+method, service)
		}
	}
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(text.String())); err != nil {
		panic("the vocabulary of policies can't be read: " + err.Error()) // every test of a policy reads it
	}
	resolved, err := s.Resolve()
	if err != nil {
		panic("the vocabulary of policies can't be used: " + err.Error())
	}
	return validate.New(resolved)
})

// misspelt names, once each, the words of a rule that mean nothing here.
func misspelt(rule *cedar.Policy) []string {
	err := validator().Policy("", (*cedarast.Policy)(rule.AST()))
	var said []string
	for _, one := range flat(err) {
		text := one.Error()
		if follows := strings.Contains(text, "unable to find an applicable action") && len(said) > 0; !follows && !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	return said
}

// flat are the errors that one is joined of.
func flat(err error) []error {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &joined):
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flat(one)...)
	}
	return all
}
