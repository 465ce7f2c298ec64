package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"cityhub/twin"
)

const maxURL = 2048 // bytes

// inside are the networks that no webhook reaches unless allowed: those that
// IANA's special-purpose registries (RFC 6890) do not call globally reachable,
// and those that carry an IPv4 address within an IPv6 one.
var inside = func() (ps []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}()

// guard decides where deliveries may go.
type guard struct {
	hosts []string       // that plain HTTP may reach, in lower case
	nets  []netip.Prefix // allowed although inside
}

// address refuses an address inside. A 4-in-6 address is the IPv4 one.
func (g *guard) address(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	for _, p := range g.nets {
		if p.Contains(a) {
			return nil
		}
	}
	for _, p := range inside {
		if p.Contains(a) {
			return &twin.Error{Code: twin.CodeForbidden, Op: "reach webhook", Field: "url", Message: fmt.Sprintf("%s is an address of an inner network", a), Hint: "the configuration can allow a network"}
		}
	}
	return nil
}

// url checks what can be checked before anything is sent. A name is checked
// again whenever it has been resolved.
func (g *guard) url(raw string) error {
	bad := func(format string, args ...any) error {
		return &twin.Error{Code: twin.CodeInvalid, Op: "save webhook", Field: "url", Message: fmt.Sprintf(format, args...), Hint: "a URL looks like https://department.example/hooks/city"}
	}
	if raw == "" || len(raw) > maxURL {
		return bad("%d bytes, expected 1 to %d", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return bad("it is no URL")
	case u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return bad("it names no host")
	case u.User != nil:
		return bad("user and password are not sent")
	case u.Fragment != "":
		return bad("a fragment is never sent")
	case u.Scheme == "http" && !slices.Contains(g.hosts, strings.ToLower(u.Hostname())):
		return bad("plain http is not allowed for this host")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("the scheme is %.16q, expected https", u.Scheme)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return g.address(a)
	}
	return nil
}

// transport connects to allowed addresses only. The check stands between the
// resolved name and the connection, so that a name that resolves to another
// address the second time gains nothing; no proxy stands between.
func (g *guard) transport(tlsConfig *tls.Config) *http.Transport {
	d := &net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !strings.HasPrefix(network, "tcp") {
			return &twin.Error{Code: twin.CodeForbidden, Op: "reach webhook", Field: "url", Message: "it is no TCP address"}
		}
		return g.address(ap.Addr())
	}}
	return &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 0, ExpectContinueTimeout: time.Second,
		MaxIdleConns: 200, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
	}
}
