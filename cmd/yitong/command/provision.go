package command

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// provisionFlags build the provision of a consent: one rule and exceptions to it.
type provisionFlags struct {
	file                               string
	deny                               bool
	purposes, actions, classes, labels []string
	types                              []string
	exceptClasses, exceptLabels        []string
	exceptTypes                        []string
	data                               periodFlags
}

const provisionHelp = `A consent is a rule with exceptions (FHIR R4 Consent.provision). It permits
for the purposes that --purpose names, and each other flag narrows it: --action, --class,
--label, --type, --data-from and --data-until. --except-class, --except-label and
--except-type take out of it again. With --deny the rule denies and its exceptions permit. Rules of more than one level come from --file, a JSON
document such as

  {"type":"permit","purposes":["HPAYMT"],"classes":["laboratory","claim"],
   "provisions":[{"type":"deny","labels":["PSY"]}]}`

func (p *provisionFlags) add(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.file, "file", "", "JSON file with the whole provision instead of the flags below; - for standard input")
	f.BoolVar(&p.deny, "deny", false, "deny instead of permit")
	f.StringSliceVar(&p.purposes, "purpose", nil, "purposes of use (HL7 v3), a code covers those below it")
	f.StringSliceVar(&p.actions, "action", nil, "actions (FHIR consentaction)")
	f.StringSliceVar(&p.classes, "class", nil, "data classes")
	f.StringSliceVar(&p.labels, "label", nil, "only data with these sensitivity labels")
	f.StringSliceVar(&p.exceptClasses, "except-class", nil, "but not these data classes")
	f.StringSliceVar(&p.exceptLabels, "except-label", nil, "but not data with these sensitivity labels")
	f.StringSliceVar(&p.types, "type", nil, "only data in these forms (record types), for example fhir,pdf")
	f.StringSliceVar(&p.exceptTypes, "except-type", nil, "but not data in these forms")
	p.data.add(f, "data-from", "data-until", "only data of the time")
	a.mustComplete(cmd, "purpose", purposeCodes)
	a.mustComplete(cmd, "action", actionCodes)
	for _, name := range []string{"class", "except-class"} {
		a.mustComplete(cmd, name, classCodes)
	}
	for _, name := range []string{"type", "except-type"} {
		a.mustComplete(cmd, name, typeCodes)
	}
	for _, name := range []string{"label", "except-label"} {
		a.mustComplete(cmd, name, labelCodes)
	}
}

// provision builds the rule, or reads it from --file.
func (p provisionFlags) provision(a *app, f *pflag.FlagSet) (*yitongv1.Provision, error) {
	if p.file != "" {
		for _, name := range []string{"deny", "purpose", "action", "class", "label", "type", "except-class", "except-label", "except-type", "data-from", "data-until"} {
			if f.Changed(name) {
				return nil, usage("--file holds the whole provision; leave out --%s", name)
			}
		}
		return a.readProvision(p.file)
	}
	if !p.deny && len(p.purposes) == 0 {
		return nil, usage("a consent that permits says for which purposes: add --purpose, for example --purpose HPAYMT")
	}
	data, err := p.data.period()
	if err != nil {
		return nil, err
	}
	rule, exception := "permit", "deny"
	if p.deny {
		rule, exception = exception, rule
	}
	out := &yitongv1.Provision{Type: rule, DataPeriod: data, Purposes: p.purposes, Actions: p.actions, Classes: p.classes, Labels: p.labels, RecordTypes: p.types}
	if len(p.exceptClasses) > 0 {
		out.Provisions = append(out.Provisions, &yitongv1.Provision{Type: exception, Classes: p.exceptClasses})
	}
	if len(p.exceptLabels) > 0 {
		out.Provisions = append(out.Provisions, &yitongv1.Provision{Type: exception, Labels: p.exceptLabels})
	}
	if len(p.exceptTypes) > 0 {
		out.Provisions = append(out.Provisions, &yitongv1.Provision{Type: exception, RecordTypes: p.exceptTypes})
	}
	return out, checkProvision(out)
}

func (a *app) readProvision(path string) (*yitongv1.Provision, error) {
	doc, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	out := new(yitongv1.Provision)
	if err := protojson.Unmarshal(doc, out); err != nil {
		return nil, &failure{exit: exitUsage, err: err, next: "`yitong consent grant --help` shows a provision"}
	}
	return out, checkProvision(out)
}

// checkProvision finds a mistyped code before anything is sent. The ledger
// checks it again; this one is for the message.
func checkProvision(p *yitongv1.Provision) error {
	if t := p.GetType(); t != "permit" && t != "deny" {
		return usage("the type of a provision is permit or deny, not %q", t)
	}
	for _, check := range []error{
		known(p.GetPurposes(), consent.ParsePurpose), known(p.GetActions(), consent.ParseAction),
		known(p.GetClasses(), record.ParseClass), known(p.GetLabels(), record.ParseLabel),
		known(p.GetRecordTypes(), record.ParseType),
	} {
		if check != nil {
			return check
		}
	}
	for _, nested := range p.GetProvisions() {
		if err := checkProvision(nested); err != nil {
			return err
		}
	}
	return nil
}

// known refuses the first code that parse doesn't know, or that stands twice.
func known[T any](codes []string, parse func(string) (T, error)) error {
	for i, code := range codes {
		if _, err := parse(code); err != nil {
			return usage("%v", err)
		}
		if slices.Contains(codes[:i], code) {
			return usage("%q is given twice", code)
		}
	}
	return nil
}
