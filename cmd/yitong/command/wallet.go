package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"yitong/cmd/yitong/screen"
	"yitong/cmd/yitong/wallet"
)

func (a *app) wallet() *cobra.Command {
	cmd := noun("patient", "A patient's wallet: own keys, and consents signed with them",
		a.walletInit(), a.walletRestore(), a.walletShow(), a.walletKey(),
		a.patientGrant(), a.patientAmend(), a.patientWithdraw(), a.patientList(), a.patientRekey())
	cmd.Long = `A patient's wallet: own keys, and consents signed with them.

The wallet signs on the patient's own machine; a member's software (--as) is the door to the
ledger. What the patient has signed no hospital can forge, alter or bring back. A hospital puts
a consent on the ledger; a withdrawal goes through any member.

    yitong patient init
    yitong patient grant --as hospital-a --patient-file me --requester insurer --purpose HPAYMT --class laboratory
    yitong patient withdraw ID --as regulator`
	return cmd
}

// walletFlags say which wallet, and how to open it. A passphrase is never an argument.
type walletFlags struct{ path, passphrase string }

func (w *walletFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.path, "wallet", "", "file of the wallet (default $YITONG_WALLET, else wallet.age in the folder of your configuration)")
	cmd.Flags().StringVar(&w.passphrase, "passphrase-file", "", "file whose first line is the wallet's passphrase (default $YITONG_WALLET_PASSPHRASE_FILE, else you are asked)")
}

func (a *app) walletPath(w walletFlags) (string, error) {
	if path := screen.Or(w.path, a.Env("YITONG_WALLET")); path != "" {
		return path, nil
	}
	folder, err := os.UserConfigDir()
	if err != nil {
		return "", usage("say where the wallet is with --wallet FILE")
	}
	return filepath.Join(folder, "yitong", "wallet.age"), nil
}

// passphrase reads the wallet's passphrase from its file, or asks at the terminal, a new one twice.
func (a *app) passphrase(w walletFlags, fresh bool) (string, error) {
	if path := screen.Or(w.passphrase, a.Env("YITONG_WALLET_PASSPHRASE_FILE")); path != "" {
		raw, err := os.ReadFile(path)
		first, _, _ := bytes.Cut(raw, []byte("\n"))
		if err == nil && len(bytes.TrimSpace(first)) == 0 {
			err = fmt.Errorf("%s is empty", path)
		}
		if err != nil {
			return "", &failure{exit: exitUsage, err: err, next: "name a file whose first line is the passphrase"}
		}
		return strings.TrimRight(string(first), "\r"), nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", usage("no terminal to ask for the wallet's passphrase at: name a file that has it with --passphrase-file")
	}
	given, err := a.askSecret("passphrase of the wallet: ")
	if err != nil || !fresh {
		return given, err
	}
	again, err := a.askSecret("the same once more: ")
	if err == nil && again != given {
		return "", usage("the two passphrases differ")
	}
	return given, err
}

func (a *app) askSecret(question string) (string, error) {
	fmt.Fprint(a.Err, question)
	given, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(a.Err)
	if err == nil && len(given) == 0 {
		err = usage("the passphrase is empty")
	}
	return string(given), err
}

func (a *app) openWallet(f walletFlags) (*wallet.Wallet, error) {
	path, err := a.walletPath(f)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, &failure{exit: exitNotFound, err: fmt.Errorf("there is no wallet at %s", path), next: "make one with `yitong patient init`, or name yours with --wallet FILE"}
	}
	passphrase, err := a.passphrase(f, false)
	if err != nil {
		return nil, err
	}
	w, err := wallet.Open(path, passphrase)
	if errors.Is(err, wallet.ErrPassphrase) {
		return nil, &failure{exit: exitDenied, err: err, next: "try again; without it the words bring the wallet back: `yitong patient restore`"}
	}
	return w, err
}

func (a *app) createWallet(f walletFlags, entropy []byte) (*wallet.Wallet, string, error) {
	path, err := a.walletPath(f)
	if err != nil {
		return nil, "", err
	}
	passphrase, err := a.passphrase(f, true)
	if err != nil {
		return nil, "", err
	}
	w, err := wallet.Create(path, passphrase, entropy)
	if errors.Is(err, wallet.ErrExists) {
		return nil, "", &failure{exit: exitDenied, err: fmt.Errorf("there is a wallet at %s already", path), next: "use it, or name another file with --wallet FILE"}
	}
	return w, path, err
}

func (a *app) walletInit() *cobra.Command {
	var at walletFlags
	var words int
	cmd := &cobra.Command{
		Use: "init", Short: "Make a wallet, and show its words once",
		Long: "Make a wallet, and show its words once. Write them down on paper: who has them has the wallet,\n" +
			"and they alone bring it back when the file or its passphrase is lost.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			entropy, err := wallet.NewEntropy(words)
			if err != nil {
				return usage("%v", err)
			}
			w, path, err := a.createWallet(at, entropy)
			if err != nil {
				return err
			}
			a.screen.Say("made %s; write these words down, in order, and keep them where nobody looks:", path)
			return a.showPhrase(w)
		},
	}
	at.add(cmd)
	cmd.Flags().IntVar(&words, "words", 24, "how many words: 12 or 24")
	return cmd
}

func (a *app) showPhrase(w *wallet.Wallet) error {
	phrase, err := w.Phrase()
	if err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Object(map[string]string{"phrase": phrase})
	}
	_, err = fmt.Fprintln(a.Out, phrase)
	return err
}

func (a *app) walletRestore() *cobra.Command {
	var at walletFlags
	var file string
	cmd := &cobra.Command{
		Use: "restore", Short: "Make the wallet again from its words",
		Long: "Make the wallet again from its words. Its keys are as they were; what it has signed it learns\n" +
			"again from `yitong patient list`.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			words, err := a.readInput(file)
			if err != nil {
				return err
			}
			entropy, err := wallet.EntropyOf(string(words))
			if err != nil {
				return &failure{exit: exitUsage, err: err, next: "look at the paper again"}
			}
			_, path, err := a.createWallet(at, entropy)
			if err != nil {
				return err
			}
			a.screen.Say("restored %s", path)
			return nil
		},
	}
	at.add(cmd)
	cmd.Flags().StringVar(&file, "phrase-file", "-", "file with the words; - for standard input")
	return cmd
}

func (a *app) walletShow() *cobra.Command {
	var at walletFlags
	var phrase bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show what the wallet remembers", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w, err := a.openWallet(at)
			if err != nil {
				return err
			}
			if phrase {
				return a.showPhrase(w)
			}
			return a.showWallet(w)
		},
	}
	at.add(cmd)
	cmd.Flags().BoolVar(&phrase, "phrase", false, "show the words instead")
	return cmd
}

func (a *app) showWallet(w *wallet.Wallet) error {
	var rows [][]string
	for _, r := range w.Relationships {
		s, err := w.Signer(r.Custodian, r.Requester, r.Label, r.Generation)
		if err != nil {
			return err
		}
		if len(r.Consents) == 0 {
			rows = append(rows, []string{r.Custodian, r.Requester, r.Label, s.Public().ID(), "", "", "", ""})
		}
		for _, c := range r.Consents {
			rows = append(rows, []string{r.Custodian, r.Requester, r.Label, s.Public().ID(), c.ID, fmt.Sprint(c.Version), c.Status, c.Says})
		}
	}
	if a.screen.JSON {
		return a.screen.Object(map[string]any{"relationships": w.Relationships})
	}
	return a.screen.Table([]string{"CUSTODIAN", "REQUESTER", "FOR", "KEY", "CONSENT", "VERSION", "STATUS", "SAYS"}, rows)
}

func (a *app) walletKey() *cobra.Command {
	var at walletFlags
	var custodian, requester, label string
	cmd := &cobra.Command{
		Use: "key", Short: "Show a public key of the wallet's, to be named as a delegate",
		Long: "Show a public key of the wallet's, to be named as a delegate (`yitong patient grant --delegate`).\n" +
			"Each relationship has a key of its own; --for tells those of several people apart for whom\n" +
			"this wallet speaks.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w, err := a.openWallet(at)
			if err != nil {
				return err
			}
			s, err := w.Signer(custodian, requester, label, 0)
			if err != nil {
				return err
			}
			if a.screen.JSON {
				return a.screen.Object(map[string]string{"id": s.Public().ID(), "key": keyText(s.Public())})
			}
			_, err = fmt.Fprintln(a.Out, keyText(s.Public()))
			return err
		},
	}
	at.add(cmd)
	f := cmd.Flags()
	f.StringVar(&custodian, "custodian", "", "MSP id of the hospital (required)")
	f.StringVar(&requester, "requester", "", "MSP id of the member that may ask (required)")
	f.StringVar(&label, "for", "", "of whom this wallet speaks, in your own words; empty for yourself")
	_ = cmd.MarkFlagRequired("custodian")
	_ = cmd.MarkFlagRequired("requester")
	return cmd
}
