package identity

import (
	"slices"
	"strings"
	"unicode"

	"yitong/chaincode/access"
)

// maxName bounds a person's name, in bytes.
const maxName = 128

// at finds a claim by its name, or by a JSON Pointer (RFC 6901).
func at(claims map[string]any, path string) any {
	rest, pointer := strings.CutPrefix(path, "/")
	if !pointer {
		return claims[path]
	}
	var here any = claims
	for step := range strings.SplitSeq(rest, "/") {
		object, ok := here.(map[string]any)
		if !ok {
			return nil
		}
		here = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	return here
}

func (p *provider) nameIn(t token) (string, error) {
	name, _ := at(t.claims, p.Name).(string)
	if name == "" {
		return "", refuse("the token has no claim %s with the person's name", p.Name)
	}
	name = p.Prefix + name
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.TrimSpace(name) != name {
		return "", refuse("the person's name in the claim %s is longer than %d bytes, or not printable", p.Name, maxName)
	}
	return name, nil
}

// roleIn is the one role that a token gives.
func (p *provider) roleIn(t token) (access.Role, error) {
	var values []string
	switch v := at(t.claims, p.Role).(type) {
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				values = append(values, s)
			}
		}
	}
	var roles []string
	for _, v := range values {
		if role, ok := p.means[v]; ok && !slices.Contains(roles, string(role)) {
			roles = append(roles, string(role))
		}
	}
	switch len(roles) {
	case 0:
		return "", refuse("the claim %s gives the person no role here: ask whoever keeps the provider and this gateway's mapping (tokens.people.roles)", p.Role)
	case 1:
		return access.Role(roles[0]), nil
	}
	slices.Sort(roles)
	return "", refuse("the claim %s gives the person the roles %s: a token is for one of them", p.Role, strings.Join(roles, " and "))
}
