package node

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	"yitong/gateway/database"
	"yitong/gateway/retention"
	"yitong/gateway/share"
)

// Config is a gateway's one configuration file, YAML. Relative paths are taken
// from the folder that the file lies in.
type Config struct {
	// Member is who this gateway belongs to.
	Member Member `yaml:"member"`
	// Channel is the ledger's name, as the peers have joined it.
	Channel string `yaml:"channel"`
	// Chaincode is the name of Yitong's chaincode on that channel.
	Chaincode string `yaml:"chaincode"`
	// Listen is the address of the gRPC door, host:port, for the member's own software and
	// for other members' gateways.
	Listen string `yaml:"listen"`
	// ListenHTTP is the address of the HTTPS door, host:port: FHIR, uploads, contents, events,
	// tokens and the audit's questions. By default there is none.
	ListenHTTP string `yaml:"listen_http,omitempty"`
	// State is the folder of the key store and, unless Vault says otherwise, the vault.
	State string `yaml:"state"`
	// Vault is where sealed parts lie: a folder, or an object store by URL
	// (s3://bucket?region=…; package vault says more). Credentials are never in it.
	// By default the folder "vault" in State.
	Vault string `yaml:"vault,omitempty"`
	// Passphrase is a file whose first line opens the key store.
	Passphrase string `yaml:"passphrase"`
	// Identity signs the member's transactions (PEM, an enrolment certificate).
	Identity Pair `yaml:"identity"`
	// Clinicians signs a hospital's break-glass requests (PEM, an enrolment certificate
	// with the attribute yitong.role=clinician, its name a pseudonym). Without it the
	// gateway breaks no glass.
	Clinicians *Pair `yaml:"clinicians,omitempty"`
	// TLS is what the gateway shows on every connection (PEM, OU=gateway).
	TLS Pair `yaml:"tls"`
	// Trust is a folder with the TLS authority of every member, one PEM file
	// each, named by its MSP id, and with the authorities' revocation lists,
	// MSPID.crl, where they have one.
	Trust string `yaml:"trust"`
	// Peers are those of the ledger, the member's own first.
	Peers []Peer `yaml:"peers"`
	// Failover is how blocks are read while the own peer is away.
	Failover Failover `yaml:"failover,omitempty"`
	// Candidate is where this gateway publishes what it says of itself (its
	// public keys among it), for the member that founds the registry.
	Candidate string `yaml:"candidate"`
	// Found lists the candidates of every founding member. Only the gateway
	// that founds the registry has it.
	Found []string `yaml:"found,omitempty"`
	// Evaluator has this member evaluate patients' handles from the founding on. Who
	// evaluates later is agreed on by the ledger: yitong handle roll.
	Evaluator bool `yaml:"evaluator,omitempty"`
	// Quota bounds what this member, as an evaluator, evaluates for each other one: by
	// default 10000 patients a day, and as many at once.
	Quota share.Quota `yaml:"quota,omitempty"`
	// Audit is the database that the ledger's history is kept in to be asked:
	// sqlite:PATH or postgres://…; by default a file in State. It can be thrown
	// away at any time, it is made anew of the blocks.
	Audit string `yaml:"audit,omitempty"`
	// Outbox is where writes are kept until they are done, and their answers after.
	Outbox Outbox `yaml:"outbox,omitempty"`
	// ReviewOrders keeps what a regulator orders to be disclosed until this member's
	// own software has answered. By default the gateway complies at once.
	ReviewOrders bool `yaml:"review_orders,omitempty"`
	// Escrow says how a hospital's record keys are put into escrow with the other members.
	Escrow Escrow `yaml:"escrow,omitempty"`
	// Events is how what concerns this member is told to its own software.
	Events Events `yaml:"events,omitempty"`
	// Operations is the address, host:port, that operators and their monitoring ask by
	// plain HTTP: /livez, /readyz, /metrics. It should be one that only they reach. By
	// default there is none.
	Operations string `yaml:"operations,omitempty"`
	// Policy is the Cedar file that says which of the member's people may do what
	// (`yitong policy show` prints the default, which holds where none is named).
	Policy string `yaml:"policy,omitempty"`
	// Tokens says who may come with a token.
	Tokens Tokens `yaml:"tokens,omitempty"`
	// Retention is how long a hospital keeps the data of a class before it is erased by
	// itself: a number and y, mo, w or d, as in "laboratory: 15y". It begins with the end of
	// the time that the data is of, or with the submission where that isn't known. A class
	// that isn't here is kept for ever. A regulator's legal hold stops it.
	Retention map[string]string `yaml:"retention,omitempty"`
	// RetentionWarning is how long before its end is warned: 1d to 1y, by default 30d. Nothing
	// is erased before the warning has stood that long.
	RetentionWarning string `yaml:"retention_warning,omitempty"`
	// RetentionSweep is how often is looked for what falls due: 1m to 24h, by default 1h.
	RetentionSweep string `yaml:"retention_sweep,omitempty"`
	// Copies says what is kept, sealed, of the parts that this gateway opens: by default
	// all, until their permit ends.
	Copies Copies `yaml:"copies,omitempty"`
	// Limits bound what callers can cost this gateway: sizes, rates, what may be under way
	// at once, times. Each has a default.
	Limits api.Limits `yaml:"limits,omitempty"`
	// Drain is how long a gateway that is told to stop goes on taking calls while /readyz says
	// that it isn't ready, so that a load balancer sees it first: at most 1m, by default 0s.
	Drain time.Duration `yaml:"drain,omitempty"`
	// Tracing says where OpenTelemetry traces go; by default nowhere.
	Tracing Tracing `yaml:"tracing,omitempty"`
	// Uploads bounds what is uploaded piece by piece.
	Uploads Uploads `yaml:"uploads,omitempty"`
	// Backup says who can read this gateway's backups.
	Backup Backups `yaml:"backup,omitempty"`
	// LogLevel is one of debug, info, warn and error; by default info.
	LogLevel string `yaml:"log_level"`
}

// Member is the organisation a gateway serves.
type Member struct {
	// MSP is the member's MSP id on the ledger, as HospitalA.
	MSP string `yaml:"msp"`
	// Name is what people and commands call the member, as hospital-a.
	Name string `yaml:"name"`
	// Kind is one of hospital, insurer and regulator.
	Kind registry.Kind `yaml:"kind"`
	// Gateway is the address under which other members' gateways reach this one.
	Gateway string `yaml:"gateway"`
}

// Escrow is how record keys are split among the other members.
type Escrow struct {
	// Off keeps them here alone: with this gateway its records are gone.
	Off bool `yaml:"off,omitempty"`
	// Threshold is how many members it takes to open anything, a regulator always among
	// them; at least 2. By default a regulator and more than half of the others.
	Threshold int `yaml:"threshold,omitempty"`
}

// Pair is a certificate and its private key, PEM files.
type Pair struct {
	// Cert is the file of the certificate, PEM.
	Cert string `yaml:"cert"`
	// Key is the file of its private key, PEM, which nobody but the gateway may read.
	Key string `yaml:"key"`
}

// Peer is where a peer of the ledger is found.
type Peer struct {
	// Address is where it listens, host:port.
	Address string `yaml:"address"`
	// ServerName is the name in the peer's TLS certificate, where it isn't the
	// address's host.
	ServerName string `yaml:"server_name,omitempty"`
	// CA is the TLS authority of the peer's member, a PEM file.
	CA string `yaml:"ca"`
	// Use says what another member's peer may be used for: submit (endorsing, handing over to
	// the orderers, telling what became of it), evaluate (reads on which nothing is released),
	// blocks (see failover). By default all three. Nothing lets it answer a read that a release
	// rests on.
	Use []string `yaml:"use,omitempty"`
}

// ReadConfig reads and checks a configuration. Every problem is named at once.
func ReadConfig(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the gateway's configuration: %w", err)
	}
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	decoded := d.Decode(&c)
	var wrong *yaml.TypeError
	switch {
	case errors.Is(decoded, io.EOF):
		return Config{}, fmt.Errorf("%s is empty; `yitong config example` prints one to begin with", path)
	case decoded != nil && !errors.As(decoded, &wrong):
		return Config{}, fmt.Errorf("reading %s: %w", path, decoded)
	}
	c.resolve(filepath.Dir(path))
	var problems []error
	if wrong != nil { // the rest of the file was read
		for _, p := range wrong.Errors {
			problems = append(problems, errors.New("  - "+inWords(p)))
		}
	}
	if err := errors.Join(append(problems, c.check())...); err != nil {
		return Config{}, fmt.Errorf("%s can't be used:\n%w", path, err)
	}
	return c, nil
}

var (
	noField   = regexp.MustCompile(`^(line \d+: )field (\S+) not found in type \S+$`)
	wrongForm = regexp.MustCompile(`^(line \d+: )cannot unmarshal !!\w+ (.*) into (\S+)$`)
	forms     = map[string]string{
		"int": "a whole number", "float64": "a number", "bool": "true or false", "string": "text",
		"time.Duration": "a time, as 30s or 5m", "[]string": "a list of texts",
	}
)

// inWords says without the names of Go what the parser of YAML found.
func inWords(problem string) string {
	if m := noField.FindStringSubmatch(problem); m != nil {
		return m[1] + "there is no setting " + m[2] + " in this place"
	}
	if m := wrongForm.FindStringSubmatch(problem); m != nil {
		form, ok := forms[m[3]]
		if !ok {
			form = "what is to stand there"
		}
		return m[1] + m[2] + " isn't " + form
	}
	return problem
}

// WriteConfig writes a configuration, atomically and for its owner's eyes.
func WriteConfig(path string, c Config) error {
	raw, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding the gateway's configuration: %w", err)
	}
	return renameio.WriteFile(path, raw, 0o600)
}

func (c *Config) resolve(folder string) {
	paths := []*string{&c.State, &c.Passphrase, &c.Identity.Cert, &c.Identity.Key, &c.TLS.Cert, &c.TLS.Key, &c.Trust, &c.Candidate, &c.Policy}
	for i := range c.Peers {
		paths = append(paths, &c.Peers[i].CA)
	}
	if c.Clinicians != nil {
		paths = append(paths, &c.Clinicians.Cert, &c.Clinicians.Key)
	}
	for i := range c.Found {
		paths = append(paths, &c.Found[i])
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
	c.Tokens.resolve(folder)
	switch {
	case c.Vault == "":
		c.Vault = filepath.Join(c.State, "vault")
	case !strings.Contains(c.Vault, "://") && !filepath.IsAbs(c.Vault):
		c.Vault = filepath.Join(folder, c.Vault)
	}
	c.Audit = database.Resolve(c.Audit, folder, filepath.Join(c.State, "audit.db"))
	c.Outbox.URL = database.Resolve(c.Outbox.URL, folder, filepath.Join(c.State, "outbox.db"))
	c.Events.resolve(folder, c.State)
}

// retentionSweep is how often is looked for what falls due.
func (c Config) retentionSweep() (time.Duration, error) {
	if c.RetentionSweep == "" {
		return time.Hour, nil
	}
	return time.ParseDuration(c.RetentionSweep)
}

func (c Config) check() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf("  - "+format, args...)) }
	for name, value := range map[string]string{"channel": c.Channel, "chaincode": c.Chaincode, "state": c.State, "candidate": c.Candidate, "member.name": c.Member.Name} {
		if value == "" {
			problem("%s is missing", name)
		}
	}
	if err := registry.CheckMSP(c.Member.MSP); err != nil {
		problem("member.msp is not an MSP id")
	}
	if !c.Member.Kind.Known() {
		problem("member.kind is %q; it must be hospital, insurer or regulator", c.Member.Kind)
	}
	if err := registry.CheckGateway(c.Member.Gateway); err != nil {
		problem("member.gateway is %q; it must be host:port", c.Member.Gateway)
	}
	if !hostPort(c.Listen) {
		problem("listen is %q; it must be host:port", c.Listen)
	}
	if c.Operations != "" && !hostPort(c.Operations) {
		problem("operations is %q; it must be host:port, of an address that only operators reach", c.Operations)
	}
	if c.ListenHTTP != "" && !hostPort(c.ListenHTTP) {
		problem("listen_http is %q; it must be host:port", c.ListenHTTP)
	}
	if len(c.Peers) == 0 {
		problem("peers is empty; name the member's own peer first")
	}
	files := map[string]string{
		"passphrase": c.Passphrase, "identity.cert": c.Identity.Cert, "identity.key": c.Identity.Key,
		"tls.cert": c.TLS.Cert, "tls.key": c.TLS.Key, "trust": c.Trust,
	}
	if c.Clinicians != nil {
		files["clinicians.cert"], files["clinicians.key"] = c.Clinicians.Cert, c.Clinicians.Key
	}
	for i, p := range c.Peers {
		files[fmt.Sprintf("peers[%d].ca", i)] = p.CA
		switch {
		case p.Address == "":
			problem("peers[%d].address is missing", i)
		case !hostPort(p.Address):
			problem("peers[%d].address is %q; it must be host:port", i, p.Address)
		}
	}
	unread := map[string]bool{}
	for name, path := range files {
		if path == "" {
			problem("%s is missing", name)
		} else if _, err := os.Stat(path); err != nil {
			problem("%s: %v", name, err)
		} else {
			continue
		}
		unread[name] = true
	}
	c.checkContents(unread, problem)
	for name, at := range map[string]string{"audit": c.Audit, "outbox.url": c.Outbox.URL, "events.database": c.Events.Database} {
		if err := database.Check(at); err != nil {
			problem("%s: %w", name, err)
		}
	}
	if c.Audit == c.Outbox.URL || c.Audit == c.Events.Database || c.Outbox.URL == c.Events.Database {
		problem("audit, outbox.url and events.database must be three databases: they have tables of the same names")
	}
	for _, err := range append(c.Events.check(), c.Failover.check(c.Peers)...) {
		problem("%w", err)
	}
	problems = append(problems, c.Tokens.check(c.ListenHTTP)...)
	c.Outbox.check(problem)
	if _, err := retention.Parse(c.Retention, c.RetentionWarning); err != nil {
		for line := range strings.Lines(err.Error()) {
			problem("%s", strings.TrimSuffix(line, "\n"))
		}
	}
	if len(c.Retention) > 0 && c.Member.Kind != registry.Hospital {
		problem("retention is for hospitals, which hold records; leave it out")
	}
	if every, err := c.retentionSweep(); err != nil || every < time.Minute || every > 24*time.Hour {
		problem("retention_sweep is %q; it must be a time from 1m to 24h, as 1h", c.RetentionSweep)
	}
	c.Uploads.check(problem)
	c.Backup.check(problem)
	if t := c.Escrow.Threshold; t != 0 && t < 2 {
		problem("escrow.threshold is %d; it takes at least 2 members, a regulator and another", t)
	}
	if q := c.Quota; q != (share.Quota{}) && (q.PerDay < 1 || q.Burst < 1) {
		problem("quota needs both per_day and burst, 1 or more; leave it out for the default")
	}
	c.checkLimits(problem)
	c.Tracing.check(problem)
	if c.LogLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		problem("log_level is %q; it must be debug, info, warn or error", c.LogLevel)
	}
	slices.SortFunc(problems, func(a, b error) int { return bytes.Compare([]byte(a.Error()), []byte(b.Error())) })
	return errors.Join(problems...)
}

// hostPort reports whether something can be listened on, or dialled; 0 is any free port.
func hostPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// checkContents looks into the files that are there: whether what is in them can be used.
func (c Config) checkContents(unread map[string]bool, problem func(string, ...any)) {
	pairs := map[string]Pair{"identity": c.Identity, "tls": c.TLS}
	if c.Clinicians != nil {
		pairs["clinicians"] = *c.Clinicians
	}
	for name, p := range pairs {
		if unread[name+".cert"] || unread[name+".key"] {
			continue
		}
		if _, err := tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
			problem("%s: %s and %s are no certificate with its key: %v", name, p.Cert, p.Key, err)
		}
	}
	for i, p := range c.Peers {
		if name := fmt.Sprintf("peers[%d].ca", i); !unread[name] {
			if _, err := readCertificate(p.CA); err != nil {
				problem("%s: %v", name, err)
			}
		}
	}
	if !unread["passphrase"] {
		secret, err := readPassphrase(c.Passphrase)
		clear(secret)
		if err != nil {
			problem("passphrase: %v", err)
		}
	}
	if !unread["trust"] {
		if trust, err := readTrust(c.Trust); err != nil {
			problem("trust: %v", err)
		} else if trust[c.Member.MSP] == nil && c.Member.MSP != "" {
			problem("trust: %s has no authority of this member: put its TLS authority there as %s.pem", c.Trust, c.Member.MSP)
		}
	}
	if _, err := readPolicy(c.Policy); err != nil {
		problem("policy: %s", strings.ReplaceAll(err.Error(), "\n", "\n    "))
	}
}
