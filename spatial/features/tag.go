package features

import (
	"bytes"
	"context"
	"errors"
	"strings"
)

// matchesTag reports whether a header If-Match or If-None-Match names an entity
// tag (RFC 9110, section 13.1); weak compares as If-None-Match does.
func matchesTag(header, tag string, weak bool) bool {
	for t := range strings.SplitSeq(header, ",") {
		t = strings.TrimSpace(t)
		if t == "*" {
			return true
		}
		if weak {
			t = strings.TrimPrefix(t, "W/")
		}
		if t == tag {
			return true
		}
	}
	return false
}

// matchesVersion reports whether If-Match names a tag of this version of an
// object, in whatever representation it was had.
func matchesVersion(header, version string) bool {
	for t := range strings.SplitSeq(header, ",") {
		t = strings.TrimSpace(t)
		if t == "*" || strings.HasPrefix(t, `"`+version+".") && strings.HasSuffix(t, `"`) {
			return true
		}
	}
	return false
}

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

func isTimeout(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// containsCRS reports whether a feature has a coordRefSys of its own, which
// stands before its place.
func containsCRS(feature []byte) bool {
	i := bytes.Index(feature, []byte(`,"place":`))
	return i >= 0 && bytes.Contains(feature[:i], []byte(`,"coordRefSys":`))
}
