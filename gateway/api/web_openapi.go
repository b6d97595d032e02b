package api

import (
	"encoding/json"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

type object = map[string]any

// openAPI is the HTTPS door's description (OpenAPI 3.1). Its schemas are those of the
// messages, as protobuf's JSON mapping writes them, so it can't fall behind.
var openAPI = sync.OnceValue(func() []byte {
	schemas := object{"Problem": object{
		"type": "object", "description": "RFC 9457", "required": []string{"type", "title", "status"},
		"properties": object{
			"type": object{"type": "string"}, "title": object{"type": "string"}, "status": object{"type": "integer"}, "detail": object{"type": "string"},
			"code":    object{"type": "string", "description": "stable code of the refusal"},
			"allowed": object{"type": "string", "description": "what would be allowed instead"},
		},
	}}
	paths := object{}
	for _, r := range webRoutes {
		get := object{
			"operationId": r.method, "tags": []string{string(r.descriptor().Parent().Name())}, "summary": r.summary, "parameters": r.parameters(),
			"responses": object{
				"200": object{"description": "the answer", "content": r.content(schemas)},
				"default": object{"description": "a refusal or a failure", "content": object{
					"application/problem+json": object{"schema": reference("Problem")},
				}},
			},
		}
		paths[r.path] = object{"get": get}
	}
	doc, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Yitong: questions to a member's gateway", "version": "1",
			"description": "Read-only. Every answer that comes of the projection says on which block it stands (asOf). Callers show a client certificate of the member (mutual TLS 1.3), or a bearer token of its OpenID provider or of this gateway's own (SMART Backend Services).",
		},
		"security": []object{{"mutualTLS": []string{}}, {"bearer": []string{}}},
		"components": object{"schemas": schemas, "securitySchemes": object{
			"mutualTLS": object{"type": "mutualTLS"}, "bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
		}},
		"paths": paths,
	}, "", " ")
	if err != nil {
		panic(err) // maps of strings
	}
	return doc
})

func (r webRoute) parameters() []object {
	out := []object{}
	for _, p := range r.params {
		field := lookup(r.descriptor().Input(), p.field)
		where := "query"
		if strings.Contains(r.path, "{"+p.name+"}") {
			where = "path"
		}
		out = append(out, object{"name": p.name, "in": where, "required": where == "path", "description": p.about, "schema": schemaOf(field, object{})})
	}
	if r.patient != "" {
		out = append(out, object{"name": PatientHeader, "in": "header", "description": "a patient this gateway knows, as system|value", "schema": object{"type": "string"}})
	}
	return out
}

func (r webRoute) content(schemas object) object {
	method := r.descriptor()
	if method.IsStreamingServer() {
		out := object{}
		for _, kind := range exportTypes {
			media, _, _ := strings.Cut(kind, ";")
			out[media] = object{}
		}
		return out
	}
	return object{"application/json": object{"schema": schemaOfMessage(method.Output(), schemas)}}
}

func lookup(m protoreflect.MessageDescriptor, path string) (field protoreflect.FieldDescriptor) {
	for name := range strings.SplitSeq(path, ".") {
		field = m.Fields().ByName(protoreflect.Name(name))
		m = field.Message()
	}
	return field
}

func reference(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// schemaOfMessage adds a message's schema, and those of what is in it.
func schemaOfMessage(m protoreflect.MessageDescriptor, schemas object) object {
	name := string(m.Name())
	if _, there := schemas[name]; there {
		return reference(name)
	}
	properties := object{}
	schemas[name] = object{"type": "object", "properties": properties}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		properties[f.JSONName()] = schemaOf(f, schemas)
	}
	return reference(name)
}

// schemaOf is a field's schema (the ProtoJSON format: 64-bit numbers are strings).
func schemaOf(f protoreflect.FieldDescriptor, schemas object) object {
	one := object{"type": "string"}
	switch f.Kind() {
	case protoreflect.BoolKind:
		one = object{"type": "boolean"}
	case protoreflect.Int32Kind, protoreflect.Uint32Kind:
		one = object{"type": "integer", "format": "int32"}
	case protoreflect.Int64Kind, protoreflect.Uint64Kind:
		one = object{"type": "string", "format": "int64"}
	case protoreflect.DoubleKind:
		one = object{"type": "number"}
	case protoreflect.BytesKind:
		one = object{"type": "string", "contentEncoding": "base64"}
	case protoreflect.MessageKind:
		if f.Message().FullName() == "google.protobuf.Timestamp" {
			one = object{"type": "string", "format": "date-time"}
		} else {
			one = schemaOfMessage(f.Message(), schemas)
		}
	}
	if f.IsList() {
		return object{"type": "array", "items": one}
	}
	return one
}
