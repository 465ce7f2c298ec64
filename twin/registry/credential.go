package registry

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"cityhub/twin"
	"cityhub/twin/registry/manifest"
)

const (
	saltSize = 16
	hashSize = sha256.Size
	// maxProven bounds the passwords whose proof is remembered.
	maxProven = 1 << 16
)

// credential is a row of credentials.
type credential struct {
	username   string
	password   string // as given; never stored
	salt, hash []byte
	iterations int
	// kept: the stored row verified the password and stays.
	kept bool
}

// passwords derives keys, as many at a time as there are processors, so that
// a storm of logins does not take every core from ingest. It remembers, under
// a key of this process, which password proved which stored hash: a terminal
// that reconnects does not cost a derivation again.
type passwords struct {
	slots  chan struct{}
	key    [32]byte
	decoy  []byte // salt for unknown users
	mu     sync.Mutex
	proven map[[32]byte]struct{}
}

func (p *passwords) init(parallel int) {
	p.slots = make(chan struct{}, max(parallel, 1))
	_, _ = rand.Read(p.key[:]) // never fails
	p.decoy = make([]byte, saltSize)
	_, _ = rand.Read(p.decoy)
	p.proven = map[[32]byte]struct{}{}
}

func derive(password string, salt []byte, iterations int) ([]byte, error) {
	return pbkdf2.Key(sha256.New, password, salt, iterations, hashSize)
}

// proof names the pair of a stored hash and a password.
func (p *passwords) proof(hash []byte, password string) (id [32]byte) {
	m := hmac.New(sha256.New, p.key[:])
	m.Write(hash)
	m.Write([]byte(password))
	m.Sum(id[:0])
	return id
}

// verify compares in constant time. It waits for a slot.
func (p *passwords) verify(ctx context.Context, password string, salt, hash []byte, iterations int) (bool, error) {
	id := p.proof(hash, password)
	p.mu.Lock()
	_, proven := p.proven[id]
	p.mu.Unlock()
	if proven {
		return true, nil
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	got, err := derive(password, salt, iterations)
	if err != nil {
		return false, err
	}
	if subtle.ConstantTimeCompare(got, hash) != 1 {
		return false, nil
	}
	p.mu.Lock()
	if len(p.proven) >= maxProven {
		clear(p.proven)
	}
	p.proven[id] = struct{}{}
	p.mu.Unlock()
	return true, nil
}

// Authenticate gives the code of the terminal that username and password
// belong to. CodeUnauthorized when they are wrong, which takes the same time
// for unknown users; CodeForbidden when the terminal is retired (R50).
func (r *Registry) Authenticate(ctx context.Context, username, password string) (terminal string, err error) {
	const op = "authenticate terminal"
	c := credential{salt: r.passwords.decoy, hash: make([]byte, hashSize), iterations: r.o.PasswordIterations}
	var state twin.TerminalState
	err = r.byUsername.QueryRowContext(ctx, username).
		Scan(&terminal, &state, &c.salt, &c.hash, &c.iterations)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", dbError(op, err)
	}
	ok, err := r.passwords.verify(ctx, password, c.salt, c.hash, c.iterations)
	if err != nil {
		return "", dbError(op, err)
	}
	if !ok || !known {
		return "", &twin.Error{Code: twin.CodeUnauthorized, Op: op, Message: "the user name or the password is wrong"}
	}
	if state == twin.StateRetired {
		return "", &twin.Error{Code: twin.CodeForbidden, Op: op, Message: "the terminal " + terminal + " is retired"}
	}
	return terminal, nil
}

// prepare derives the key for c's password, or finds that the stored one
// verifies it already. It runs outside the write transaction, because a key
// takes milliseconds.
func (r *Registry) prepare(ctx context.Context, code string, c *manifest.Credentials) (*credential, error) {
	out := &credential{username: c.Username, password: c.Password}
	var has credential
	err := r.read.QueryRowContext(ctx, `SELECT c.username, c.salt, c.hash, c.iterations FROM credentials c JOIN things t ON t.id = c.thing_id WHERE t.code = ?`, code).
		Scan(&has.username, &has.salt, &has.hash, &has.iterations)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	if err == nil && has.username == c.Username && has.iterations >= r.o.PasswordIterations {
		same, err := derive(c.Password, has.salt, has.iterations)
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(same, has.hash) == 1 {
			out.salt, out.hash, out.iterations, out.kept = has.salt, has.hash, has.iterations, true
			return out, nil
		}
	}
	out.iterations = r.o.PasswordIterations
	out.salt = make([]byte, saltSize)
	_, _ = rand.Read(out.salt)
	out.hash, err = derive(c.Password, out.salt, out.iterations)
	return out, err
}

// prepareAll is prepare for every terminal of m that has credentials.
func (r *Registry) prepareAll(ctx context.Context, m *manifest.Manifest) (map[int]*credential, error) {
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	out := map[int]*credential{}
	for i := range m.Terminals {
		t := &m.Terminals[i]
		if t.Credentials == nil {
			continue
		}
		if work.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := work.Err(); err != nil {
				return err
			}
			c, err := r.prepare(work, t.Code, t.Credentials)
			if err != nil {
				return err
			}
			mu.Lock()
			out[i] = c
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// putCredential stores c; false: it was stored already.
func (w *writer) putCredential(id twin.ThingID, c *credential, problem problemFunc) (bool, error) {
	var owner twin.ThingID
	var code string
	taken, err := w.row(`SELECT c.thing_id, t.code FROM credentials c JOIN things t ON t.id = c.thing_id WHERE c.username = ?`, []any{c.username}, &owner, &code)
	if err != nil {
		return false, err
	}
	if taken && owner != id {
		problem("credentials.username", strconv.Quote(c.username), "a user name of its own", "the terminal "+code+" has it")
		return false, nil
	}
	if c.kept {
		var hash []byte
		known, err := w.row(`SELECT hash FROM credentials WHERE thing_id = ?`, []any{int64(id)}, &hash)
		if err != nil || (known && bytes.Equal(hash, c.hash)) {
			return false, err
		}
		// Changed since prepare read it: store what was verified then.
	}
	_, err = w.exec(`INSERT INTO credentials (thing_id, username, salt, iterations, hash, updated_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (thing_id) DO UPDATE SET username = ?2, salt = ?3, iterations = ?4, hash = ?5, updated_ns = ?6`,
		int64(id), c.username, c.salt, c.iterations, c.hash, w.nowNs)
	return true, err
}
