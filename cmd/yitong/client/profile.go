// Package client is the member's own software speaking to its gateway: the
// profile that says where the gateway is and who we are, the connection, and
// the two calls that are more than one message (Submit and Open).
//
// The command's verbs and its demo both go through here and through nothing
// else, so that the demo shows what the verbs do.
//
// A profile holds paths of keys, never keys. The gateway believes the client
// certificate alone (mutual TLS 1.3, both ends under the member's own TLS
// authority); a member's name in a request is never an authority.
package client

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"
)

// Profile says how one member's own software reaches its gateway. It lies in
// DIR/members/<member>/client.yaml; relative paths are taken from there, so the
// whole directory can be moved.
type Profile struct {
	Member     string `yaml:"member"`         // name, for example "hospital-a"
	MSP        string `yaml:"msp"`            // MSP id on the ledger
	Kind       string `yaml:"kind"`           // hospital, insurer or regulator
	Gateway    string `yaml:"gateway"`        // host:port
	HTTP       string `yaml:"http,omitempty"` // host:port of its questions over HTTPS, if it answers any
	ServerName string `yaml:"server_name"`    // in the gateway's certificate; empty: the host
	CA         string `yaml:"ca"`             // PEM file: the member's TLS authority
	Cert       string `yaml:"cert"`           // PEM file: client certificate, OU=client
	Key        string `yaml:"key"`            // PEM file: its private key
	// Users are the people of the member that this machine may act for, by name. Without
	// one it is the member's own software.
	Users map[string]User `yaml:"users,omitempty"`
	// Login is where the member's people sign in; nil if this machine doesn't know.
	Login *Login `yaml:"login,omitempty"`
	// Service is a backend service of the member; nil if there is none here.
	Service *Service `yaml:"service,omitempty"`

	// Session is the person who signed in, for whom calls are made; nil is nobody.
	Session *Session `yaml:"-"`
}

// Login is an OpenID provider, and as which of its clients to sign in there.
type Login struct {
	Issuer string `yaml:"issuer"`
	Client string `yaml:"client"`
}

// Service is a backend service that gets tokens for its scopes (SMART Backend Services).
type Service struct {
	ID  string `yaml:"id"`
	Key string `yaml:"key"` // file: its private key, a JSON Web Key
	URL string `yaml:"url"` // of the gateway's HTTPS door, as the gateway calls it
}

// User is a person's client certificate: OU=client, the person as common name, and the
// role as the attribute yitong.role.
type User struct {
	Cert string `yaml:"cert"` // PEM file
	Key  string `yaml:"key"`  // PEM file
}

// ErrNoUser says that the profile knows no such person.
var ErrNoUser = errors.New("no such user here")

// For is the profile as one of its users; "" is the member's own software.
func (p Profile) For(user string) (Profile, error) {
	if user == "" {
		return p, nil
	}
	u, ok := p.Users[user]
	if !ok {
		known := slices.Sorted(maps.Keys(p.Users))
		return Profile{}, fmt.Errorf("%s has no user %q (it has %s): %w", p.Member, user, cmp.Or(strings.Join(known, ", "), "none"), ErrNoUser)
	}
	p.Cert, p.Key = u.Cert, u.Key
	return p, nil
}

// files visits every path of the profile.
func (p *Profile) files(each func(path string) string) {
	for _, file := range []*string{&p.CA, &p.Cert, &p.Key} {
		*file = each(*file)
	}
	if p.Service != nil {
		copied := *p.Service // never the caller's own
		copied.Key = each(copied.Key)
		p.Service = &copied
	}
	users := make(map[string]User, len(p.Users))
	for name, u := range p.Users {
		users[name] = User{Cert: each(u.Cert), Key: each(u.Key)}
	}
	if p.Users != nil {
		p.Users = users // never the caller's own map
	}
}

// ErrNoProfile says that the directory knows no such member.
var ErrNoProfile = errors.New("no such member here")

const profileName = "client.yaml"

func profilePath(dir, member string) string {
	return filepath.Join(dir, "members", member, profileName)
}

// WriteProfile puts a member's profile into a consortium's directory. Paths in p
// may be absolute; those below the profile's folder are written relative.
func WriteProfile(dir string, p Profile) error {
	path := profilePath(dir, p.Member)
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	p.files(func(path string) string {
		if rel, err := filepath.Rel(folder, path); err == nil && filepath.IsAbs(path) && filepath.IsLocal(rel) {
			return rel
		}
		return path
	})
	doc, err := yaml.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(path, doc, 0o600)
}

// ReadProfile reads the profile of a member, given by name or MSP id.
// A member that isn't there is ErrNoProfile.
func ReadProfile(dir, member string) (Profile, error) {
	if !filepath.IsLocal(member) || filepath.Base(member) != member {
		return Profile{}, fmt.Errorf("%q is not a member's name: %w", member, ErrNoProfile)
	}
	p, err := readProfile(profilePath(dir, member))
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	all, err := Profiles(dir)
	if err != nil {
		return Profile{}, err
	}
	if i := slices.IndexFunc(all, func(p Profile) bool { return p.MSP == member }); i >= 0 {
		return all[i], nil
	}
	return Profile{}, fmt.Errorf("%s: %w", member, ErrNoProfile)
}

// Profiles lists the members of a consortium's directory by name. A directory
// that isn't a consortium has none.
func Profiles(dir string) ([]Profile, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(dir), "members", "*", profileName))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []Profile
	for _, path := range paths {
		p, err := readProfile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func readProfile(path string) (Profile, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return Profile{}, err
	}
	var p Profile
	d := yaml.NewDecoder(bytes.NewReader(doc))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return Profile{}, fmt.Errorf("reading %s: %w", path, err)
	}
	for name, value := range map[string]string{"member": p.Member, "gateway": p.Gateway, "ca": p.CA, "cert": p.Cert, "key": p.Key} {
		if value == "" {
			return Profile{}, fmt.Errorf("reading %s: %s is missing", path, name)
		}
	}
	for name, u := range p.Users {
		if u.Cert == "" || u.Key == "" {
			return Profile{}, fmt.Errorf("reading %s: user %s lacks cert or key", path, name)
		}
	}
	p.files(func(file string) string {
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(filepath.Dir(path), file)
	})
	return p, nil
}

// globEscape keeps a directory's own name from being read as a pattern.
func globEscape(dir string) string {
	var b bytes.Buffer
	for _, r := range dir {
		switch r {
		case '*', '?', '[', '\\':
			b.WriteRune('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
