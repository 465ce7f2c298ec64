package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"cityhub/twin/registry"
)

// Standard Webhooks 1.0.0, section "Signature scheme": a secret is whsec_ and the
// base64 of at least 24 random bytes.
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

// newSecret makes a signing secret; crypto/rand never fails.
func newSecret() string {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:])
	return secretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// newID makes a webhook's id. It has no full stop: the signature joins its
// parts with them.
func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return "wh" + hex.EncodeToString(b[:])
}

// signature is the value of webhook-signature: one signature, and a second
// with the old secret while both are in force.
func signature(h *registry.Webhook, id string, at time.Time, body []byte) string {
	s := sign(h.Secret, id, at, body)
	if h.OldSecret != "" && at.Before(h.OldUntil) {
		s += " " + sign(h.OldSecret, id, at, body)
	}
	return s
}

// sign makes a signature of the content id.timestamp.body.
func sign(secret, id string, at time.Time, body []byte) string {
	// A secret that cannot be decoded was not made here; its text is the key.
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		key = []byte(secret)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
