package node

import (
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Setting is one line of a configuration that is in force.
type Setting struct {
	Name  string `json:"name" yaml:"name"`   // as limits.rate, or peers[0].address
	Value any    `json:"value" yaml:"value"` // as it is written in YAML; a password in a URL isn't shown
	From  string `json:"from" yaml:"from"`   // file, default, or unset
}

// Where a setting's value is from.
const (
	FromFile    = "file"
	FromDefault = "default"
	Unset       = "unset"
)

// Settings are all settings of a configuration file as they are in force, and where each is
// from. It names paths of secrets, and never what is in them. Problems of the configuration
// are ReadConfig's.
func Settings(path string) ([]Setting, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's configuration: %w", err)
	}
	c, err := ReadConfig(path)
	if err != nil {
		return nil, err
	}
	var given yaml.Node
	if err := yaml.Unmarshal(raw, &given); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	named := map[string]bool{}
	for _, doc := range given.Content {
		collect(doc, "", named)
	}
	var out []Setting
	walk(reflect.ValueOf(c.effective()), "", func(name string, value reflect.Value) {
		s := Setting{Name: name, From: Unset, Value: shownAs(value)}
		switch {
		case named[name]:
			s.From = FromFile
		case !value.IsZero():
			s.From = FromDefault
		}
		out = append(out, s)
	})
	return out, nil
}

// effective is the configuration with the defaults that aren't filled in when it is read.
func (c Config) effective() Config {
	c.Limits = c.Limits.Complete()
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	if c.RetentionSweep == "" {
		c.RetentionSweep = "1h"
	}
	if c.RetentionWarning == "" {
		c.RetentionWarning = "30d"
	}
	if c.Tracing.Sample == 0 {
		c.Tracing.Sample = 1
	}
	return c
}

// collect notes the paths of everything that a file says.
func collect(n *yaml.Node, path string, into map[string]bool) {
	switch n.Kind {
	case yaml.MappingNode:
		into[path] = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			collect(n.Content[i+1], dotted(path, n.Content[i].Value), into)
		}
	case yaml.SequenceNode:
		into[path] = true
		for i, item := range n.Content {
			collect(item, fmt.Sprintf("%s[%d]", path, i), into)
		}
	default:
		into[path] = true
	}
}

func dotted(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// yamlName is the name of a field in the file.
func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "" {
		return strings.ToLower(f.Name)
	}
	return name
}

// walk visits every setting, in the order of the struct.
func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		visit(path, v)
	case v.Kind() == reflect.Pointer:
		walk(v.Elem(), path, visit)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("yaml") != "-" {
				walk(v.Field(i), dotted(path, yamlName(f)), visit)
			}
		}
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	default:
		visit(path, v)
	}
}

// shownAs is a value as the file would have it.
func shownAs(v reflect.Value) any {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	switch value := v.Interface().(type) {
	case time.Duration:
		return value.String()
	case fmt.Stringer:
		return value.String()
	case string:
		return withoutPassword(value)
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return v.Interface()
}

func withoutPassword(text string) string {
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return u.Redacted()
	}
	return text
}
