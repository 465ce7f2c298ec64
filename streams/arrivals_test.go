package streams

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"cityhub/twin"
)

func TestArrivals(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewArrivals(2, func() time.Time { return now })
	come := func(caller string) (n int) {
		for ; n < 100; n++ {
			if err := a.Came(caller); err != nil {
				if twin.ErrorCode(err) != twin.CodeTooMany {
					t.Fatal(err)
				}
				return n
			}
		}
		return n
	}
	if n := come("a"); n != 20 {
		t.Errorf("%d come at once, want ten seconds' worth", n)
	}
	if n := come("b"); n != 20 {
		t.Errorf("%d of another come", n)
	}
	now = now.Add(3 * time.Second)
	if n := come("a"); n != 6 {
		t.Errorf("%d come after 3 s, want 6", n)
	}
	now = now.Add(time.Minute)
	for i := range 10 * minSweep {
		_ = a.Came(fmt.Sprint(i))
		now = now.Add(time.Second)
	}
	if n := len(a.byKey); n > minSweep {
		t.Errorf("%d callers are kept", n)
	}
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711": "192.0.2.7", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "[::ffff:192.0.2.7]:80": "::ffff:192.0.2.7", "pipe": "pipe",
	} {
		if got := AddressOf(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%s counts as %s, want %s", remote, got, want)
		}
	}
}
