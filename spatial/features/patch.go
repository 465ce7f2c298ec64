package features

import (
	"bytes"
	"encoding/json"
)

// mergePatch is RFC 7396: patch applied to target, whose members keep their
// order.
func mergePatch(target, patch []byte) ([]byte, error) {
	return merge(target, patch, "", 0)
}

func merge(target, patch []byte, at string, depth int) ([]byte, error) {
	if patch = bytes.TrimSpace(patch); len(patch) == 0 || patch[0] != '{' {
		if depth == 0 {
			return nil, wrong(at, "expected a JSON object", nil)
		}
		return patch, nil
	}
	if depth > 64 {
		return nil, wrong(at, "nested too deep", nil)
	}
	changes, err := members(patch, at)
	if err != nil {
		return nil, err
	}
	var list []member
	if target = bytes.TrimSpace(target); len(target) > 0 && target[0] == '{' {
		if list, err = members(target, at); err != nil {
			return nil, err
		}
	}
	place := make(map[string]int, len(list))
	for i, m := range list {
		place[m.name] = i
	}
	for _, ch := range changes {
		i, ok := place[ch.name]
		if string(ch.value) == "null" {
			if ok {
				list[i].value = nil
				if depth == 0 && ch.name == "geometry" {
					list[i].value = ch.value // a Feature has the member always
				}
			}
			continue
		}
		if !ok {
			i = len(list)
			list = append(list, member{name: ch.name})
			place[ch.name] = i
		}
		if list[i].value, err = merge(list[i].value, ch.value, at+"/"+pointer(ch.name), depth+1); err != nil {
			return nil, err
		}
	}
	out := []byte{'{'}
	for _, m := range list {
		if m.value == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), m.value...)
	}
	return append(out, '}'), nil
}
