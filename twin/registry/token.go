package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cityhub/twin"
)

// RoleOperator is the role of a token that may read and manage everything.
const RoleOperator = "operator"

const tokenPrefix = "cityhub_" // so that secret scanners can find a leaked one

// Token is an access token, without its secret.
type Token struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Revoked time.Time `json:"revoked,omitzero"` // zero: in force
}

const tokenColumns = `id, name, role, created_ns, expires_ns, revoked_ns`

func scanToken(row scanner, t *Token) error {
	var created, expires, revoked int64
	if err := row.Scan(&t.ID, &t.Name, &t.Role, &created, &expires, &revoked); err != nil {
		return err
	}
	at := func(ns int64) time.Time {
		if ns == 0 {
			return time.Time{}
		}
		return time.Unix(0, ns).UTC()
	}
	t.Created, t.Expires, t.Revoked = at(created), at(expires), at(revoked)
	return nil
}

// CreateToken makes an access token; a zero expires is never. The secret, of
// 32 random bytes, is given this once: only its SHA-256 is stored.
func (r *Registry) CreateToken(ctx context.Context, name, role string, expires time.Time) (secret string, err error) {
	const op = "create token"
	switch {
	case strings.TrimSpace(name) == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > 128 || strings.ContainsFunc(name, unicode.IsControl):
		return "", &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "name", Message: "expected a name of 1–128 characters that says whose token it is"}
	case role != RoleOperator:
		return "", &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "role", Message: fmt.Sprintf("found %q, expected %s", role, RoleOperator)}
	}
	var expiresNs int64
	if !expires.IsZero() {
		if !expires.After(r.o.Clock()) {
			return "", &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "expires", Message: "found a time in the past, expected one in the future"}
		}
		if expires.Year() > 2200 {
			return "", &twin.Error{Code: twin.CodeInvalid, Op: op, Field: "expires", Message: "found a time after the year 2200", Hint: "leave it out for a token that never expires"}
		}
		expiresNs = expires.UnixNano()
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	hash := sha256.Sum256([]byte(secret))
	err = r.update(ctx, op, false, func(w *writer) error {
		_, err := w.insert(`INSERT INTO tokens (name, role, hash, created_ns, expires_ns) VALUES (?, ?, ?, ?, ?)`, name, role, hash[:], w.nowNs, expiresNs)
		return err
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// VerifyToken gives the token with the secret. CodeUnauthorized when it is
// unknown, expired or revoked.
func (r *Registry) VerifyToken(ctx context.Context, secret string) (Token, error) {
	const op = "verify token"
	var t Token
	hash := sha256.Sum256([]byte(secret)) // looked up by hash: timing tells nothing of the secret
	err := scanToken(r.byToken.QueryRowContext(ctx, hash[:]), &t)
	e := &twin.Error{Code: twin.CodeUnauthorized, Op: op}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		e.Message = "the token is not known"
	case err != nil:
		return Token{}, dbError(op, err)
	case !t.Revoked.IsZero():
		e.Message = "the token was revoked"
	case !t.Expires.IsZero() && !t.Expires.After(r.o.Clock()):
		e.Message = "the token expired at " + t.Expires.Format(time.RFC3339)
	default:
		return t, nil
	}
	return Token{}, e
}

// ListTokens gives every token, revoked and expired ones too, in order of id.
func (r *Registry) ListTokens(ctx context.Context) ([]Token, error) {
	const op = "list tokens"
	rows, err := r.read.QueryContext(ctx, `SELECT `+tokenColumns+` FROM tokens ORDER BY id`)
	if err != nil {
		return nil, dbError(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var out []Token
	for rows.Next() {
		var t Token
		if err := scanToken(rows, &t); err != nil {
			return nil, dbError(op, err)
		}
		out = append(out, t)
	}
	return out, dbError(op, rows.Err())
}

// RevokeToken ends a token at once. Revoking it again changes nothing.
// CodeNotFound when there is none with the id.
func (r *Registry) RevokeToken(ctx context.Context, id int64) error {
	const op = "revoke token"
	return r.update(ctx, op, false, func(w *writer) error {
		res, err := w.exec(`UPDATE tokens SET revoked_ns = CASE revoked_ns WHEN 0 THEN ? ELSE revoked_ns END WHERE id = ?`, w.nowNs, id)
		if err != nil {
			return err
		}
		w.ch.all = true
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return &twin.Error{Code: twin.CodeNotFound, Op: op, Field: "id", Message: fmt.Sprintf("there is no token %d", id)}
	})
}
