package webhook

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"cityhub/streams/internal/streamtest"
	"cityhub/twin"
)

func TestGuardAddresses(t *testing.T) {
	g := &guard{nets: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:20::/32")}}
	for a, allowed := range map[string]bool{
		"127.0.0.1": false, "127.255.0.9": false, "0.0.0.0": false, "10.0.0.1": false, "10.21.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "192.0.0.8": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "203.0.113.9": false,
		"::1": false, "::": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:1::": false, "::7f00:1": false, "fec0::1": false,
		"10.20.3.4": true, "::ffff:10.20.3.4": true, "fd00:20::1": true, "8.8.8.8": true, "172.32.0.1": true, "2400:3200::1": true,
	} {
		if err := g.address(netip.MustParseAddr(a)); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", a, err, allowed)
		}
	}
}

func TestGuardURLs(t *testing.T) {
	g := &guard{hosts: []string{"old.example"}}
	for u, want := range map[string]string{
		"https://a.example/x?y=1": "", "http://OLD.example:8080/": "", "https://8.8.8.8/": "",
		"http://a.example/": "plain http", "ftp://a.example/": "scheme", "https:///x": "host", "https://u:p@a.example/": "password", "https://a.example/#x": "fragment",
		"https://127.0.0.1/": "inner network", "https://[::1]/": "inner network", "https://[::ffff:10.0.0.1]/": "inner network", "": "bytes", "https:a": "host", "/x": "host", "https://%zz/": "no URL",
		"file:///etc/passwd": "host", "https://a.example/" + strings.Repeat("x", 3000): "bytes",
	} {
		err := g.url(u)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", u, err, want)
		}
	}
}

// A name that resolves to the hub's own machine, an address written as a
// number, and a redirect to it reach nothing.
func TestNothingInsideIsReached(t *testing.T) {
	w := newWorld(t)
	inner := receive(t, func(_ int, rw http.ResponseWriter, _ *http.Request) {
		t.Error("the inner service was reached")
		rw.WriteHeader(http.StatusOK)
	})
	port := inner.URL[strings.LastIndexByte(inner.URL, ':'):]
	o := w.options()
	o.InnerNetworks = nil
	o.PlainHosts = []string{"localhost", "2130706433", "0x7f.1", "127.1", "localhost."}
	hub := run(t, o)
	for _, host := range o.PlainHosts {
		v := hub.make(t, "li", "public", Definition{URL: "http://" + host + port + "/"})
		res, err := hub.Test(t.Context(), v.ID)
		if err != nil || res.Delivered || res.Status != 0 || res.Error == "" {
			t.Errorf("%s: %+v, %v", host, res, err)
		}
		if host == "localhost" && !strings.Contains(res.Error, "inner network") {
			t.Errorf("%s: %q", host, res.Error)
		}
	}
	for _, u := range []string{"http://127.0.0.1" + port, "https://127.0.0.1" + port} {
		if _, err := hub.Create(t.Context(), Owner{Name: "li", Role: "public"}, Definition{URL: u}); err == nil {
			t.Errorf("%s was taken", u)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	w := newWorld(t)
	inner := receive(t, func(int, http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	rc := receive(t, func(_ int, rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, inner.URL, http.StatusPermanentRedirect)
	})
	hub := run(t, w.options())
	v := hub.make(t, "li", "public", Definition{URL: rc.URL, MaxDelayMs: 50})
	w.log.Append(streamtest.Reading(1, 1, 1))
	got := hub.await(t, v.ID, "it fails", func(v Webhook) bool { return v.State.Failures > 1 })
	if got.State.LastStatus != 308 || !strings.Contains(got.State.LastError, "redirects are not followed") {
		t.Errorf("%+v", got.State)
	}
}

// FuzzDefinition: whatever comes as a definition is taken or refused with the
// field, and never reaches inside.
func FuzzDefinition(f *testing.F) {
	for _, s := range []string{`{"url":"https://a.example"}`, `{"url":"https://127.0.0.1","filter":{"bbox":[1,2,3,4]}}`, `{"filter":{"datastreams":[1]}}`, `[]`, `{"url":"https://a.example","mode":"latest","maxReadings":5} {}`} {
		f.Add([]byte(s))
	}
	g, w := &guard{}, newWorld(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Definition
		err := unmarshal(b, &d)
		if err == nil {
			_, err = d.complete(g, w.hub.Select)
		}
		if err != nil {
			if c := twin.ErrorCode(err); c != twin.CodeInvalid && c != twin.CodeForbidden {
				t.Fatalf("%v", err)
			}
			return
		}
		if d.MaxReadings < 1 || d.MaxReadings > MaxReadings || d.MaxDelayMs < minDelayMs || !strings.HasPrefix(strings.ToLower(d.URL), "https://") {
			t.Fatalf("%+v", d)
		}
	})
}
