package ledgertest

import (
	"fmt"
	"strings"
	"testing"
)

// Case is one thing that Fabric does and chaincode relies on.
type Case struct {
	Name string
	run  func(s scene)
}

// Run runs the case. Several may share a network: each keeps to keys of its own, which
// prefix makes distinct on a network that has seen the cases before.
func (c Case) Run(t *testing.T, n Network, prefix string) {
	c.run(scene{t: t, n: n, k: prefix + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, strings.ToLower(c.Name)) + "-"})
}

// The validation codes that the cases name.
const (
	valid     = "VALID"
	mvcc      = "MVCC_READ_CONFLICT"
	phantom   = "PHANTOM_READ_CONFLICT"
	policy    = "ENDORSEMENT_POLICY_FAILURE"
	duplicate = "DUPLICATE_TXID"
)

func get(key string) Step                    { return Step{Do: "get", Key: key} }
func put(key, value string) Step             { return Step{Do: "put", Key: key, Value: value} }
func del(key string) Step                    { return Step{Do: "delete", Key: key} }
func setPolicy(key string, m ...string) Step { return Step{Do: "policy", Key: key, Names: m} }
func between(start, end string) Step         { return Step{Do: "range", Key: start, Value: end} }
func composite(kind, value string, attributes ...string) Step {
	return Step{Do: "put-composite", Key: kind, Value: value, Names: attributes}
}

// Cases is the table of Fabric's semantics. This package passes it, and so does a peer.
func Cases() []Case {
	return []Case{
		{"a key nobody wrote is empty", func(s scene) { s.says([]string{""}, get(s.k)) }},
		{"a write is there after its block", func(s scene) {
			s.do(put(s.k, "1"))
			s.says([]string{"1"}, get(s.k))
		}},
		{"a transaction doesn't see its own writes", func(s scene) {
			s.do(put(s.k, "1"))
			s.says([]string{"", "1", "", "1"}, put(s.k, "2"), get(s.k), del(s.k), get(s.k))
		}},
		{"a range doesn't see its own transaction's writes", func(s scene) {
			s.says([]string{"", ""}, put(s.k+"a", "1"), between(s.k+"a", s.k+"z"))
		}},
		{"an endorsed transaction has no effect until it is committed", func(s scene) {
			s.endorse(s.majority(), put(s.k, "1"))
			s.says([]string{""}, get(s.k))
		}},
		{"several keys are read at once, in the order asked, missing ones empty", func(s scene) {
			s.do(put(s.k+"a", "1"), put(s.k+"b", "2"))
			s.says([]string{"2,,1"}, Step{Do: "gets", Names: []string{s.k + "b", s.k + "none", s.k + "a"}})
		}},
		{"an empty value deletes", func(s scene) {
			s.do(put(s.k, "1"))
			s.do(put(s.k, ""))
			s.says([]string{"", ""}, get(s.k), between(s.k, s.k+"z"))
		}},
		{"the empty key can't be written", func(s scene) { s.refused(put("", "1")) }},
		{"a refusal carries the chaincode's message", func(s scene) {
			if err := s.refused(Step{Do: "fail", Value: "no, because"}); !strings.Contains(err.Error(), "no, because") {
				s.t.Errorf("error %q", err)
			}
		}},

		{"of two that read and write one key in a block the first wins", func(s scene) {
			a, b := s.endorse(s.majority(), get(s.k), put(s.k, "a")), s.endorse(s.majority(), get(s.k), put(s.k, "b"))
			s.commit(valid+" "+mvcc, a, b)
			s.says([]string{"a"}, get(s.k))
		}},
		{"of two that read one key in different blocks the first wins", func(s scene) {
			a, b := s.endorse(s.majority(), get(s.k), put(s.k, "a")), s.endorse(s.majority(), get(s.k), put(s.k, "b"))
			s.commit(valid, a)
			s.commit(mvcc, b)
		}},
		{"blind writes of one key in a block all stand, the last stays", func(s scene) {
			a, b := s.endorse(s.majority(), put(s.k, "a")), s.endorse(s.majority(), put(s.k, "b"))
			s.commit(valid+" "+valid, a, b)
			s.says([]string{"b"}, get(s.k))
		}},
		{"a reader before the writer in the block stands", func(s scene) {
			r, w := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1")), s.endorse(s.majority(), put(s.k, "1"))
			s.commit(valid+" "+valid, r, w)
		}},
		{"a reader after the writer in the block doesn't", func(s scene) {
			r, w := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1")), s.endorse(s.majority(), put(s.k, "1"))
			s.commit(valid+" "+mvcc, w, r)
		}},
		{"the absence of a key is read like a value", func(s scene) {
			r := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1"))
			s.do(put(s.k, "1"))
			s.commit(mvcc, r)
		}},
		{"writing the same value again is a change", func(s scene) {
			s.do(put(s.k, "1"))
			r := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1"))
			s.do(put(s.k, "1"))
			s.commit(mvcc, r)
		}},
		{"deleting is a change", func(s scene) {
			s.do(put(s.k, "1"))
			r := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1"))
			s.do(del(s.k))
			s.commit(mvcc, r)
		}},
		{"an invalid transaction's writes disturb nobody", func(s scene) {
			stale := s.endorse(s.majority(), get(s.k+"x"), put(s.k, "1"))
			s.do(put(s.k+"x", "1"))
			r := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1"))
			s.commit(mvcc+" "+valid, stale, r)
		}},
		{"sixty-four readers of one key all stand", func(s scene) {
			s.do(put(s.k, "1"))
			var txs []Endorsed
			for i := range 64 {
				txs = append(txs, s.endorse(s.majority(), get(s.k), put(fmt.Sprint(s.k, i), "1")))
			}
			s.commit(strings.TrimSpace(strings.Repeat(valid+" ", 64)), txs...)
		}},
		{"a transaction committed twice counts once", func(s scene) {
			tx := s.endorse(s.majority(), put(s.k, "1"))
			s.commit(valid, tx)
			s.commit(duplicate, tx)
		}},

		{"a key that appears in a range read is a phantom", func(s scene) {
			r := s.endorse(s.majority(), between(s.k+"a", s.k+"z"), put(s.k+"~", "1"))
			s.do(put(s.k+"m", "1"))
			s.commit(phantom, r)
		}},
		{"a key that vanishes from a range read is a phantom", func(s scene) {
			s.do(put(s.k+"m", "1"))
			r := s.endorse(s.majority(), between(s.k+"a", s.k+"z"), put(s.k+"~", "1"))
			s.do(del(s.k + "m"))
			s.commit(phantom, r)
		}},
		{"a phantom of the same block counts too", func(s scene) {
			r, w := s.endorse(s.majority(), between(s.k+"a", s.k+"z"), put(s.k+"~", "1")), s.endorse(s.majority(), put(s.k+"m", "1"))
			s.commit(valid+" "+phantom, w, r)
		}},
		{"a key beyond the range is no phantom", func(s scene) {
			r := s.endorse(s.majority(), between(s.k+"a", s.k+"m"), put(s.k+"~", "1"))
			s.do(put(s.k+"m", "1"))
			s.commit(valid, r)
		}},
		{"a range is in the order of its keys and without its end", func(s scene) {
			s.do(put(s.k+"c", "3"), put(s.k+"a", "1"), put(s.k+"b", "2"))
			s.says([]string{"1,2"}, between(s.k+"a", s.k+"c"))
		}},
		{"a partial composite key matches whole attributes only", func(s scene) {
			s.do(composite(s.k, "1", "a", "x"), composite(s.k, "2", "a", "y"), composite(s.k, "3", "ab", "x"), composite(s.k+"a", "4", "a"))
			s.says([]string{"1,2", "1,2,3"}, Step{Do: "partial", Key: s.k, Names: []string{"a"}}, Step{Do: "partial", Key: s.k})
		}},
		{"pages follow one another by bookmark, the last has none", func(s scene) {
			s.do(composite(s.k, "1", "a"), composite(s.k, "2", "b"), composite(s.k, "3", "c"))
			bookmark := "\x00" + s.k + "\x00c\x00"
			s.says([]string{"1,2|" + bookmark, "3|"}, Step{Do: "page", Key: s.k, Size: 2}, Step{Do: "page", Key: s.k, Size: 2, Value: bookmark})
		}},
		{"a page as long as what is there is the last", func(s scene) {
			s.do(composite(s.k, "1", "a"), composite(s.k, "2", "b"))
			s.says([]string{"1,2|"}, Step{Do: "page", Key: s.k, Size: 2})
		}},
		{"a bookmark from before the prefix reads what lies before it", func(s scene) {
			s.do(composite(s.k+"0", "theirs", "a"), composite(s.k+"1", "mine", "a"))
			s.says([]string{"theirs,mine|"}, Step{Do: "page", Key: s.k + "1", Size: 9, Value: "\x00" + s.k + "0"})
		}},
		{"who has read a page can't write", func(s scene) {
			s.refused(Step{Do: "page", Key: s.k, Size: 1}, put(s.k, "1"))
		}},
		{"who has written can't read a page", func(s scene) {
			s.refused(put(s.k, "1"), Step{Do: "page", Key: s.k, Size: 1})
		}},
		{"history is newest first and knows deletions", func(s scene) {
			s.do(put(s.k, "1"))
			s.do(put(s.k, "2"))
			s.do(del(s.k))
			s.says([]string{"deleted,2,1"}, Step{Do: "history", Key: s.k})
		}},

		{"less than the majority doesn't do", func(s scene) {
			s.commit(policy, s.endorse(s.n.Members()[:1], put(s.k, "1")))
		}},
		{"a transaction without writes needs the majority too", func(s scene) {
			s.commit(policy, s.endorse(s.n.Members()[:1], get(s.k)))
		}},
		{"a key's own policy takes the place of the majority", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(valid, s.endorse(m[:1], put(s.k, "2")))
			s.says([]string{"2"}, get(s.k))
		}},
		{"a key's own policy refuses a majority without the member it names", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(policy, s.endorse(m[1:], put(s.k, "2")))
		}},
		{"one signature doesn't count for two", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), Step{Do: "policy-of", Key: s.k, Names: []string{m[0], m[0]}})
			s.commit(policy, s.endorse(m, put(s.k, "2")))
			s.do(put(s.k+"each", "1"), Step{Do: "policy-of", Key: s.k + "each", Names: []string{m[0], m[1]}})
			s.commit(valid, s.endorse(m[:2], put(s.k+"each", "2")))
		}},
		{"a key's first write answers to the majority, whatever policy it sets", func(s scene) {
			m := s.n.Members()
			s.commit(valid, s.endorse(m[1:], put(s.k, "1"), setPolicy(s.k, m[0])))
		}},
		{"each key written answers to its own policy", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(policy, s.endorse(m[1:], put(s.k, "2"), put(s.k+"free", "2")))
			s.commit(policy, s.endorse(m[:1], put(s.k, "2"), put(s.k+"free", "2")))
			s.commit(valid, s.endorse(m, put(s.k, "2"), put(s.k+"free", "2")))
		}},
		{"reading a key doesn't need the member its policy names", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(valid, s.endorse(m[1:], get(s.k), put(s.k+"free", "1")))
		}},
		{"the policy stays when the value changes", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(valid, s.endorse(m, put(s.k, "2")))
			s.commit(policy, s.endorse(m[1:], put(s.k, "3")))
		}},
		{"the policy goes with the key", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(valid, s.endorse(m, del(s.k)))
			s.commit(valid, s.endorse(m[1:], put(s.k, "2")))
		}},
		{"changing a policy answers to the present one", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"), setPolicy(s.k, m[0]))
			s.commit(policy, s.endorse(m[1:], setPolicy(s.k, m[1])))
			s.commit(valid, s.endorse(m[:1], setPolicy(s.k, m[1])))
			s.commit(valid, s.endorse(m[1:2], put(s.k, "2")))
		}},
		{"changing a policy changes the key for its readers", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"))
			r := s.endorse(s.majority(), get(s.k), put(s.k+"r", "1"))
			s.do(setPolicy(s.k, m[0]))
			s.commit(mvcc, r)
			s.says([]string{"1"}, get(s.k))
		}},
		{"a policy for a key that isn't there is lost", func(s scene) {
			m := s.n.Members()
			s.do(setPolicy(s.k, m[0]))
			s.commit(valid, s.endorse(m[1:], put(s.k, "1")))
		}},
		{"after a change of policy nobody writes the key in that block", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"))
			a, b := s.endorse(m, setPolicy(s.k, m[0])), s.endorse(m, put(s.k, "2"))
			s.commit(valid+" "+policy, a, b)
			s.says([]string{"1"}, get(s.k))
		}},
		{"before a change of policy anybody writes the key in that block", func(s scene) {
			m := s.n.Members()
			s.do(put(s.k, "1"))
			a, b := s.endorse(m, put(s.k, "2")), s.endorse(m, setPolicy(s.k, m[0]))
			s.commit(valid+" "+valid, a, b)
			s.says([]string{"2"}, get(s.k))
			s.commit(policy, s.endorse(m[1:], put(s.k, "3")))
		}},
	}
}

// RunCases runs all cases on one network.
func RunCases(t *testing.T, n Network, prefix string) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, n, prefix) })
	}
}
