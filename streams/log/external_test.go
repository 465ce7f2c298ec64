package log

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"cityhub/twin"
	"cityhub/twin/block"
)

// external runs a NATS server as an operator would: listening, with JetStream
// and sync_interval: always.
func external(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true}
	if change != nil {
		change(o)
	}
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	t.Cleanup(func() { stopServer(srv) })
	return srv
}

func externalOptions(url string) Options {
	o := testOptions("")
	o.URL = url
	return o
}

func TestExternal(t *testing.T) {
	srv := external(t, nil)
	dir, port := srv.StoreDir(), srv.Addr().(*net.TCPAddr).Port
	o := externalOptions(srv.ClientURL())
	l := mustOpen(t, o)
	epoch := l.Epoch()
	tail := startTail(t, l, twin.Position{}, TailOptions{})
	n := 0
	for ; n < 20; n++ {
		mustAppend(t, l, rowsFrom("320508", twin.DomainTransport, n*10, 10))
	}
	tail.want(t, n*10)

	// Another hub on the same streams, and one beside it by prefix.
	l2 := mustOpen(t, o)
	if l2.Epoch() != epoch {
		t.Fatalf("epoch %s, want %s", l2.Epoch(), epoch)
	}
	mustAppend(t, l2, rowsFrom("320508", twin.DomainTransport, n*10, 10))
	n++
	tail.want(t, n*10)
	o3 := o
	o3.Prefix = "wuxi"
	l3 := mustOpen(t, o3)
	if pos := mustAppend(t, l3, rowsFrom("", twin.DomainTransport, 0, 10)); pos.Offset != 1 || pos.Epoch == epoch {
		t.Fatalf("position %v in a log of its own", pos)
	}
	if _, err := l3.Append(t.Context(), nil, []twin.Reject{reject(1)}); err != nil {
		t.Fatal(err)
	}
	if page, err := l.Rejects(t.Context(), RejectQuery{}); err != nil || len(page.Rejects) != 0 {
		t.Fatalf("%v %v", page, err)
	}
	l2.Close()
	l3.Close()

	// The server goes away and comes back.
	stopServer(srv)
	eventually(t, "the log is unhealthy", func() bool { return l.Healthy(t.Context()) != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	batch := []*block.Batch{rowsFrom("320508", twin.DomainTransport, n*10, 10)}
	_, err := l.Append(ctx, batch, nil)
	cancel()
	wantCode(t, err, twin.CodeUnavailable)
	external(t, func(so *server.Options) { so.StoreDir, so.Port = filepath.Dir(dir), port })
	eventually(t, "the log is healthy again", func() bool { return l.Healthy(t.Context()) == nil })
	eventually(t, "the failed group is appended", func() bool {
		_, err := l.Append(t.Context(), batch, nil)
		return err == nil
	})
	n++
	for range 10 {
		mustAppend(t, l, rowsFrom("320508", twin.DomainTransport, n*10, 10))
		n++
	}
	tail.want(t, n*10)
	if l.Epoch() != epoch {
		t.Fatal("the epoch changed")
	}

	// The stream is removed under the log's feet: a new epoch, and the tail is told.
	sess, _, err := l.session()
	if err != nil {
		t.Fatal(err)
	}
	if err := sess.readJS.DeleteStream(t.Context(), "OBS"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an append to the new stream", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		pos, err := l.Append(ctx, []*block.Batch{rowsFrom("320508", twin.DomainTransport, 0, 10)}, nil)
		if err != nil {
			wantCode(t, err, twin.CodeUnavailable)
			return false
		}
		if pos.Offset != 1 || pos.Epoch == epoch || pos.Epoch != l.Epoch() {
			t.Fatalf("position %v, epoch %s", pos, l.Epoch())
		}
		return true
	})
	select {
	case <-tail.done:
	case <-time.After(20 * time.Second):
		t.Fatal("the tail goes on with another log")
	}
	wantCode(t, tail.err, twin.CodeConflict)
}

// The stream is removed and made anew by somebody else, which no error tells.
func TestExternalRecreatedBehind(t *testing.T) {
	srv := external(t, nil)
	l := mustOpen(t, externalOptions(srv.ClientURL()))
	for i := range 5 {
		mustAppend(t, l, rowsFrom("", twin.DomainTransport, i, 1))
	}
	epoch := l.Epoch()
	sess, _, err := l.session()
	if err != nil {
		t.Fatal(err)
	}
	if err := sess.readJS.DeleteStream(t.Context(), "OBS"); err != nil {
		t.Fatal(err)
	}
	other := mustOpen(t, externalOptions(srv.ClientURL()))
	var pos twin.Position
	eventually(t, "appended", func() bool {
		if pos, err = l.Append(t.Context(), []*block.Batch{rowsFrom("", twin.DomainTransport, 10, 1)}, nil); err != nil {
			wantCode(t, err, twin.CodeUnavailable)
		}
		return err == nil
	})
	if pos.Epoch == epoch || pos.Epoch != other.Epoch() {
		t.Fatalf("position %v, epoch was %s and is %s", pos, epoch, other.Epoch())
	}
	if _, last, err := other.Bounds(t.Context()); err != nil || last != pos {
		t.Fatalf("last %v %v, want %v: stored once", last, err, pos)
	}
}

// A group whose first record is stored meets a new stream at its second try:
// both records belong into it. And the stream of rejects may be recreated alone.
func TestExternalRetryIntoNewStream(t *testing.T) {
	srv := external(t, nil)
	o := externalOptions(srv.ClientURL())
	o.window = 200 * time.Millisecond
	l := mustOpen(t, o)
	for i := range 5 {
		mustAppend(t, l, rowsFrom("", twin.DomainTransport, 100+i, 1))
		if _, err := l.Append(t.Context(), nil, []twin.Reject{reject(i)}); err != nil {
			t.Fatal(err)
		}
	}
	sess, _, err := l.session()
	if err != nil {
		t.Fatal(err)
	}
	batches := []*block.Batch{rowsFrom("", twin.DomainTransport, 0, 1), rowsFrom("", twin.DomainTransport, 1, 1)}
	g := new(group)
	if err := l.encode(g, batches, nil); err != nil {
		t.Fatal(err)
	}
	l.identify(sess, g)
	all := g.records
	g.records = g.records[:1]
	if err := l.publish(t.Context(), sess, g); err != nil {
		t.Fatal(err)
	}
	g.records = all
	l.failed.put(g, time.Now())
	retry := func() {
		t.Helper()
		eventually(t, "appended", func() bool {
			_, err := l.Append(t.Context(), batches, []twin.Reject{})
			return err == nil
		})
	}
	if err := sess.readJS.DeleteStream(t.Context(), "OBS"); err != nil {
		t.Fatal(err)
	}
	retry()
	both := func() {
		t.Helper()
		c := startTail(t, l, twin.Position{}, TailOptions{})
		eventually(t, "two rows", func() bool { return c.len() >= 2 })
		time.Sleep(20 * time.Millisecond)
		c.finish()
		if got := sorted(c.times); len(got) != 2 || got[0] != 0 || got[1] != 1 {
			t.Fatalf("rows %v, want each once", got)
		}
	}
	both()

	if sess, _, err = l.session(); err != nil {
		t.Fatal(err)
	}
	if err := sess.readJS.DeleteStream(t.Context(), "REJECT"); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, o) // makes it again, behind l
	eventually(t, "the reject is appended", func() bool {
		_, err := l.Append(t.Context(), nil, []twin.Reject{reject(77)})
		return err == nil
	})
	page, err := l.Rejects(t.Context(), RejectQuery{})
	if err != nil || len(page.Rejects) != 1 || page.Rejects[0].ReceivedNs != 77 {
		t.Fatalf("%+v %v", page, err)
	}
	both()
}

func TestExternalUnreachableOrForeign(t *testing.T) {
	srv := external(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	url := srv.ClientURL()
	_, err := Open(t.Context(), externalOptions(url))
	if e := wantCode(t, err, twin.CodeInvalid); e.Field != "maxRecordBytes" {
		t.Errorf("field %q", e.Field)
	}
	stopServer(srv)
	_, err = Open(t.Context(), externalOptions(url))
	if e := wantCode(t, err, twin.CodeUnavailable); e.Field != "url" {
		t.Errorf("field %q", e.Field)
	}
}

func TestExternalTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := external(t, func(o *server.Options) {
		o.TLS, o.TLSTimeout = true, 5
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	})
	o := externalOptions("tls://" + srv.Addr().String())
	if _, err := Open(t.Context(), o); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Fatalf("a certificate of nobody was trusted: %v", err)
	}
	o.RootCAs = ca
	l := mustOpen(t, o)
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	startTail(t, l, twin.Position{}, TailOptions{}).want(t, 10)
}

func TestExternalCredentials(t *testing.T) {
	pair := func(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		kp, err := make()
		if err != nil {
			t.Fatal(err)
		}
		pub, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return kp, pub
	}
	encode := func(c interface {
		Encode(nkeys.KeyPair) (string, error)
	}, by nkeys.KeyPair) string {
		s, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	okp, opub := pair(nkeys.CreateOperator)
	akp, apub := pair(nkeys.CreateAccount)
	_, syspub := pair(nkeys.CreateAccount)
	ukp, upub := pair(nkeys.CreateUser)
	oc := jwt.NewOperatorClaims(opub)
	oc.SystemAccount = syspub
	ac := jwt.NewAccountClaims(apub)
	ac.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	userJWT := encode(jwt.NewUserClaims(upub), akp)
	seed, err := ukp.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hub.creds")
	if err := os.WriteFile(path, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	encode(oc, okp)
	res := &server.MemAccResolver{}
	if err := errors.Join(res.Store(apub, encode(ac, okp)), res.Store(syspub, encode(jwt.NewAccountClaims(syspub), okp))); err != nil {
		t.Fatal(err)
	}
	srv := external(t, func(o *server.Options) {
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{oc}, syspub, res
	})
	o := externalOptions(srv.ClientURL())
	if _, err := Open(t.Context(), o); twin.ErrorCode(err) != twin.CodeUnavailable {
		t.Fatalf("let in without credentials: %v", err)
	}
	o.Credentials = path
	l := mustOpen(t, o)
	mustAppend(t, l, rowsFrom("", twin.DomainTransport, 0, 10))
	startTail(t, l, twin.Position{}, TailOptions{}).want(t, 10)
}
