package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cityhub/internal/testkit"
)

// The example shows every key with its default: loading it changes nothing.
func TestExampleConfigurationIsTheDefault(t *testing.T) {
	path := filepath.Join(testkit.RepoRoot(t), "configs/cityhub.yaml")
	got, err := loadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	for _, list := range []*[]string{&got.HTTP.AllowedOrigins, &got.Webhooks.PlainHosts, &got.Webhooks.InnerNetworks} {
		if len(*list) == 0 { // empty and absent are the same
			*list = nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example gives %+v\nthe defaults are  %+v", got, want)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range configKeys(reflect.TypeFor[Config](), "") {
		leaf := key[strings.LastIndexByte(key, '.')+1:]
		if !strings.Contains(string(b), leaf+":") {
			t.Errorf("the example lacks %s", key)
		}
	}
}

func TestConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("mqtt: {listen: 0.0.0.0:1883}\nlog: {maxAge: 720h}\ningest: {autoRegister: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(file, []string{"log.maxAge=48h", "log.maxBytes=1000000", `http.allowedOrigins=["https://a.example"]`, "auth.anonymousRole=admin"})
	if err != nil {
		t.Fatal(err)
	}
	if c.MQTT.Listen != "0.0.0.0:1883" || c.Log.MaxAge != 48*time.Hour || c.Log.MaxBytes != 1_000_000 || !c.Ingest.AutoRegister ||
		len(c.HTTP.AllowedOrigins) != 1 || c.Auth.AnonymousRole != "admin" || c.HTTP.Listen != "127.0.0.1:8080" {
		t.Errorf("%+v", c)
	}
}

func TestBadConfigurationNamesTheKey(t *testing.T) {
	tests := []struct {
		set  []string
		want []string
	}{
		{[]string{"ingest.autoregister2=true"}, []string{"ingest.autoregister2", "known keys", "ingest.autoRegister"}},
		{[]string{"ingest.autoRegister=perhaps"}, []string{"autoRegister", "bool"}},
		{[]string{"log.maxAge=long"}, []string{"maxAge", "duration"}},
		{[]string{"log.maxAge=-1h"}, []string{"log.maxAge", "less than 0"}},
		{[]string{"mqtt.maxPacketBytes=1"}, []string{"mqtt.maxPacketBytes", "128"}},
		{[]string{"series.engine=excel"}, []string{"series.engine", "excel", "pebble"}},
		{[]string{"auth.anonymousRole=king"}, []string{"auth.anonymousRole", "public, admin"}},
		{[]string{"http.listen="}, []string{"http.listen", "empty"}},
		{[]string{"novalue"}, []string{"key=value"}},
	}
	for _, tt := range tests {
		_, err := loadConfig("", tt.set)
		if err == nil {
			t.Errorf("%q was taken", tt.set)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %q does not say %q", tt.set, err, w)
			}
		}
	}
	if _, err := loadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: %v", err)
	}
}
