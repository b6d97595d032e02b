package seal

import (
	"bytes"

	"yitong/chaincode/record"
)

// attachedLabels are the labels that Binary entries have from the entries that name them. A
// Binary has no element for labels of its own: what a DocumentReference is marked with, its
// content is too, and without this would lie in a part that more may open. It answers by the
// index of the entry.
func attachedLabels(entries [][]byte) map[int]record.Labels {
	binaries := map[string][]int{} // by every name that others may call them
	trees := map[int]map[string]any{}
	for i, raw := range entries {
		if !bytes.Contains(raw, []byte("Binary")) && !bytes.Contains(raw, []byte(`\u`)) {
			continue
		}
		v, _ := tree(raw)
		e, _ := v.(map[string]any)
		resource, _ := e["resource"].(map[string]any)
		if resource["resourceType"] != "Binary" {
			continue
		}
		trees[i] = e
		full, _ := e["fullUrl"].(string)
		id, _ := resource["id"].(string)
		for _, name := range []string{full, "Binary/" + id} {
			if name != "" && name != "Binary/" {
				binaries[name] = append(binaries[name], i)
			}
		}
	}
	if len(trees) == 0 {
		return nil
	}
	labels := map[int]record.Labels{}
	byName := map[string]record.Labels{} // of other entries, for Binary.securityContext
	for i, raw := range entries {
		if trees[i] != nil {
			continue
		}
		v, _ := tree(raw)
		e, _ := v.(map[string]any)
		own := labelsIn(v, false)
		if own.Empty() {
			continue
		}
		for _, name := range namesOf(e) {
			byName[name] = byName[name].Union(own)
		}
		eachText(v, func(text string) {
			for _, b := range binaries[text] {
				labels[b] = labels[b].Union(own)
			}
		})
	}
	for i, e := range trees {
		resource, _ := e["resource"].(map[string]any)
		context, _ := resource["securityContext"].(map[string]any)
		if ref, ok := context["reference"].(string); ok {
			labels[i] = labels[i].Union(byName[ref])
		}
	}
	return labels
}

// namesOf are the names that others may call an entry.
func namesOf(e map[string]any) (names []string) {
	if full, ok := e["fullUrl"].(string); ok {
		names = append(names, full)
	}
	resource, _ := e["resource"].(map[string]any)
	kind, _ := resource["resourceType"].(string)
	if id, ok := resource["id"].(string); ok {
		names = append(names, kind+"/"+id)
	}
	return names
}

// eachText calls f for every text in v.
func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case map[string]any:
		for _, child := range v {
			eachText(child, f)
		}
	case []any:
		for _, child := range v {
			eachText(child, f)
		}
	}
}
