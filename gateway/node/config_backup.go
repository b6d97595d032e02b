package node

import (
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"

	"yitong/chaincode/refusal"
)

// Backups says who can read this gateway's backups.
type Backups struct {
	// Recipients are the age recipients (age1…; age-keygen makes them) that backups are
	// encrypted for. A call may choose among them and name no other: whoever may take a backup
	// doesn't say who reads it. Without any it is whoever has the key store's passphrase.
	Recipients []string `yaml:"recipients,omitempty"`
}

func (b Backups) check(problem func(format string, args ...any)) {
	if len(b.Recipients) > 20 {
		problem("backup.recipients are %d; there may be 20", len(b.Recipients))
	}
	for i, text := range b.Recipients {
		if _, err := recipient(text); err != nil {
			problem("backup.recipients[%d] is no age recipient (age1…)", i)
		}
	}
}

// recipient reads one, on a line of its own.
func recipient(text string) (age.Recipient, error) {
	all, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d recipients in one", len(all))
	}
	return all[0], nil
}

// readers are those whom a call chose, or all that there are where it chose none; none at all
// stands for the passphrase.
func (b Backups) readers(asked []string) (out []age.Recipient, err error) {
	if len(asked) == 0 {
		asked = b.Recipients
	}
	for _, text := range asked {
		if !slices.Contains(b.Recipients, text) {
			return nil, refusal.New(refusal.NotPermitted, "the configuration of this gateway doesn't list this recipient (backup.recipients)",
				fmt.Sprintf("one of the %d that it lists, or none named", len(b.Recipients)))
		}
		r, err := recipient(text)
		if err != nil {
			return nil, fmt.Errorf("backup.recipients: %w", err)
		}
		out = append(out, r)
	}
	return out, nil
}
