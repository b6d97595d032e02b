package contract_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
)

// crowd is a chaincode that copies one entry of a kind to as many others as it is told, and that
// lists the kind without pages.
type crowd struct{ kind, owner string }

func (crowd) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (c crowd) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	function, args := stub.GetFunctionAndParameters()
	entries, err := stub.GetStateByPartialCompositeKey(c.kind, []string{c.owner})
	if err != nil {
		return shim.Error(err.Error())
	}
	if function == "all" {
		n := 0
		for ; entries.HasNext(); n++ {
			if _, err := entries.Next(); err != nil {
				return shim.Error(err.Error())
			}
		}
		return shim.Success(fmt.Append(nil, n))
	}
	first, err := entries.Next()
	if err != nil {
		return shim.Error(err.Error())
	}
	_, parts, err := stub.SplitCompositeKey(first.Key)
	if err != nil {
		return shim.Error(err.Error())
	}
	var n int
	if _, err := fmt.Sscan(args[0], &n); err != nil {
		return shim.Error(err.Error())
	}
	at := slices.IndexFunc(parts, func(p string) bool { return len(p) >= 32 }) // the id, or a handle
	id := parts[at]
	epoch, rest, handle := strings.Cut(id, "-")
	if !handle {
		epoch, rest = "", id
	} else {
		epoch += "-"
	}
	for i := range n - 1 {
		other := fmt.Sprintf("%sf%07x%s", epoch, i, rest[8:])
		parts[at] = other
		key, err := stub.CreateCompositeKey(c.kind, parts)
		if err == nil {
			err = stub.PutState(key, []byte(strings.ReplaceAll(string(first.Value), id, other)))
		}
		if err != nil {
			return shim.Error(err.Error())
		}
	}
	return shim.Success(nil)
}

// planted are the ids, or the handles, of the copies.
var planted = regexp.MustCompile(`"(1-)?f[0-9a-f]{31,63}"`)

// A16: of a hundred thousand keys a list reads a page, whatever is asked for.
func TestAListReadsAPageOfAHundredThousandKeys(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 2_000
	}
	listed := func(custodian string, size int, bookmark string) any {
		return contract.ListQuery{Custodian: custodian, Size: size, Bookmark: bookmark}
	}
	for _, test := range []struct {
		kind, function string
		each           int // keys read for an entry
		plant          func(*world)
		arg            func(custodian string, size int, bookmark string) any
	}{
		{"record", contract.RecordRecords, 1, func(w *world) {
			w.must(hospitalA, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{w.draft()}})
		}, func(custodian string, size int, bookmark string) any {
			return contract.RecordsQuery{Custodian: custodian, Size: size, Bookmark: bookmark}
		}},
		{"directives", contract.ConsentList, 2, func(w *world) { w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, patient)) }, listed},
		{"access", contract.AccessAccesses, 5, func(w *world) { w.permitted(patient) }, listed},
	} {
		t.Run(test.function, func(t *testing.T) {
			w := newWorld(t)
			test.plant(w)
			planter := crowd{test.kind, hospitalA}
			honest, err := contract.New(w.clock)
			if err != nil {
				t.Fatal(err)
			}
			w.Install(planter)
			w.Require(1)
			tx, err := w.Endorse(t.Context(), w.Client(hospitalA), []string{hospitalA}, "plant", fmt.Sprint(n))
			if err != nil {
				t.Fatal(err)
			}
			if code := w.Commit(tx)[0]; code != valid {
				t.Fatal(code)
			}
			all, err := w.Evaluate(t.Context(), w.Client(hospitalA), hospitalA, "all")
			if err != nil || string(all) != fmt.Sprint(n) {
				t.Fatalf("control: without pages it is %s keys, %v", all, err)
			}
			w.Install(honest)

			// What it reads is in its read set, whatever it answers.
			list := func(custodian string, size int, bookmark string) (keys int, answer []byte, err error) {
				tx, err := w.Endorse(t.Context(), w.Client(hospitalA), []string{hospitalA}, test.function, text(t, test.arg(custodian, size, bookmark)))
				if err != nil {
					return 0, nil, err
				}
				keys = len(tx.RWSet.Reads)
				for _, r := range tx.RWSet.RangeQueriesInfo {
					keys += len(r.GetRawReads().GetKvReads())
				}
				return keys, tx.Response, nil
			}
			seen, bookmark := map[string]bool{}, ""
			for page := range 5 {
				read, answer, err := list(hospitalA, contract.MaxPage, bookmark)
				if err != nil {
					t.Fatal(err)
				}
				var got struct {
					Bookmark string `json:"bookmark"`
				}
				if err := json.Unmarshal(answer, &got); err != nil {
					t.Fatal(err)
				}
				before := len(seen)
				for _, m := range planted.FindAllString(string(answer), -1) {
					seen[m] = true
				}
				if bookmark = got.Bookmark; read > test.each*contract.MaxPage+3 || len(seen)-before > contract.MaxPage || bookmark == "" {
					t.Errorf("page %d: %d keys were read for %d entries", page, read, len(seen)-before)
				}
			}
			if len(seen) < 5*contract.MaxPage-1 { // the one that was copied is another's
				t.Errorf("five pages have %d entries", len(seen))
			}
			if read, _, err := list(hospitalA, 0, ""); err != nil || read > test.each*contract.DefaultPage+3 {
				t.Errorf("a page of no size: %d keys were read, %v", read, err)
			}
			if read, _, err := list("", contract.MaxPage, ""); err == nil && read > test.each*contract.MaxPage+3 {
				t.Errorf("of everybody: %d keys were read", read)
			}
			for _, size := range []int{contract.MaxPage + 1, 1_000_000_000} {
				w.refused(refusal.TooLarge, hospitalA, test.function, test.arg(hospitalA, size, ""))
			}
		})
	}
}
