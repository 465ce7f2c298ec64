package registry

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"cityhub/twin"
)

func TestSpatialQuestions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	r, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	at := time.Date(2026, 11, 21, 8, 0, 0, 5, time.UTC)
	question := func(id, owner, visibility string) SpatialQuestion {
		return SpatialQuestion{ID: id, Name: "噪声 ' \" ;", NameEn: "Noise", Description: "x\ny", Owner: owner, Visibility: visibility, Document: []byte(`{"kind":"zonal"}`), Created: at, Updated: at}
	}
	all := []SpatialQuestion{question("a", "li", "private"), question("b", "li", "shared"), question("c", "wang", "public"), question("d", "wang", "private")}
	for _, q := range all {
		if err := r.PutSpatialQuestion(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil { // they are on the disk
		t.Fatal(err)
	}
	if r, err = Open(t.Context(), Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, after string
		all         bool
		limit       int
		want        string
	}{{"li", "", false, 9, "abc"}, {"wang", "", false, 9, "bcd"}, {"chen", "", false, 9, "bc"}, {"", "", false, 9, "c"}, {"", "", true, 9, "abcd"}, {"x", "", true, 2, "ab"}, {"x", "b", true, 9, "cd"}, {"' OR 1=1 --", "", false, 9, "bc"}} {
		list, err := r.SpatialQuestions(t.Context(), c.name, c.all, c.after, c.limit)
		got := ""
		for _, q := range list {
			got += q.ID
		}
		if err != nil || got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
	changed := all[0]
	changed.Name, changed.Visibility, changed.Created, changed.Updated = "新", "public", at.Add(time.Hour), at.Add(time.Hour)
	if err := r.PutSpatialQuestion(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	changed.Created = at
	if q, ok, err := r.SpatialQuestion(t.Context(), "a"); err != nil || !ok || !reflect.DeepEqual(q, changed) {
		t.Errorf("%+v, %v, %v", q, ok, err)
	}
	for range 2 {
		if err := r.DeleteSpatialQuestion(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := r.SpatialQuestion(t.Context(), "a"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	for _, q := range []SpatialQuestion{{}, question("", "li", "public"), question("e", "", "public"), question("e", "li", "secret"), {ID: "e", Name: "e", Owner: "e", Visibility: "public", Document: []byte("{")}} {
		if err := r.PutSpatialQuestion(t.Context(), q); twin.ErrorCode(err) != twin.CodeInvalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
