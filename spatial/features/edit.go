package features

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"cityhub/spatial"
	"cityhub/spatial/city"
	"cityhub/spatial/crs"
	"cityhub/spatial/store"
)

// editor checks that the caller may change a collection and gives it.
func (c *call) editor() (kind, error) {
	k, err := c.kind()
	if err != nil {
		return k, err
	}
	if !k.editable() {
		return k, &statusError{http.StatusMethodNotAllowed, "method-not-allowed", k.ID + " is made of other collections and of observations", "change the object in its own collection"}
	}
	if c.view.Edit == nil {
		if c.r.Header.Get("Authorization") == "" && c.r.Header.Get("Cookie") == "" {
			return k, &city.Error{Code: city.Unauthorized, Message: "changing the city model needs a token"}
		}
		return k, &city.Error{Code: city.Forbidden, Message: "you may not change the city model"}
	}
	for name := range c.query {
		if name != "f" && name != "lang" {
			return k, unknownParameter(name, []string{"f", "lang"})
		}
	}
	return k, nil
}

// body reads the request's.
func (c *call) body(types ...string) ([]byte, error) {
	media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	ok := false
	for _, t := range types {
		ok = ok || t == media
	}
	if err != nil || !ok {
		return nil, &statusError{http.StatusUnsupportedMediaType, "unsupported-media-type", fmt.Sprintf("Content-Type is %.100q, expected %s", c.r.Header.Get("Content-Type"), types[0]), ""}
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.h.o.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &city.Error{Code: city.TooLarge, Field: "body", Message: fmt.Sprintf("a feature has at most %d bytes", c.h.o.MaxBody), Hint: "import larger objects as a file"}
	}
	if err != nil {
		return nil, &city.Error{Code: city.Invalid, Field: "body", Message: "the body ended too early", Err: err}
	}
	return b, nil
}

// contentCRS is the CRS in which the body's coordinates are
// (/req/features/content-crs-header-param).
func (c *call) contentCRS() (*crs.CRS, error) {
	v := c.r.Header.Get("Content-Crs")
	if v == "" {
		return c.h.crss[0], nil
	}
	if len(v) > 2 && v[0] == '<' && v[len(v)-1] == '>' {
		v = v[1 : len(v)-1]
	}
	return c.h.crsOf("Content-Crs", v)
}

// create is POST /collections/{collectionId}/items (/req/create-replace-delete/post-op).
func (c *call) create() error {
	k, err := c.editor()
	if err != nil {
		return err
	}
	body, err := c.body(formatGeoJSON.mediaType, formatJSON.mediaType)
	if err != nil {
		return err
	}
	in, err := c.input(k, body)
	if err != nil {
		return err
	}
	if in.key.Dataset == "" {
		in.key.Dataset = c.h.o.EditDataset
	}
	given := in.key.ID != ""
	if !given {
		in.key.ID = c.h.o.NewID()
	}
	in.object.ID = in.key.ID
	c.h.editing.Lock()
	defer c.h.editing.Unlock()
	if _, err := c.view.Store.Get(c.ctx, in.key, time.Time{}); err == nil {
		return &city.Error{Code: city.Conflict, Field: "/properties/identifier", Message: fmt.Sprintf("there is already an object %s", in.key), Hint: "replace it with PUT, or leave the identifier out"}
	} else if !isNotFound(err) {
		return err
	}
	return c.put(k, in, http.StatusCreated)
}

// existing is the object of the path, after If-Match has been checked
// (RFC 9110, section 13.1.1; RFC 6585, section 3). The caller holds c.h.editing.
func (c *call) existing(k kind) (*store.Version, error) {
	key, err := parseID(c.r.PathValue("item"))
	if err != nil {
		return nil, err
	}
	v, err := c.object(k, key, time.Time{})
	if err != nil {
		return nil, err
	}
	match := c.r.Header.Get("If-Match")
	if match == "" {
		return nil, &statusError{http.StatusPreconditionRequired, "precondition-required", "If-Match is missing: a change names the version that it changes", "GET the feature and send its ETag in If-Match"}
	}
	if !matchesVersion(match, versionTag(v)) {
		return nil, &statusError{http.StatusPreconditionFailed, "precondition-failed", "the feature has changed since it was read", "GET it again, and make the change on that"}
	}
	return v, nil
}

// replace is PUT /collections/{collectionId}/items/{featureId}.
func (c *call) replace() error {
	return c.change([]string{formatGeoJSON.mediaType, formatJSON.mediaType}, func(_ kind, _ *store.Version, body []byte) ([]byte, error) { return body, nil })
}

// update is PATCH, a merge patch as in RFC 7396 of the feature as f=json has it
// (/req/update/patch-op).
func (c *call) update() error {
	return c.change([]string{"application/merge-patch+json", formatGeoJSON.mediaType, formatJSON.mediaType}, func(_ kind, v *store.Version, body []byte) ([]byte, error) {
		in, err := c.contentCRS()
		if err != nil {
			return nil, err
		}
		l, err := c.liveReader(time.Time{})
		if err != nil {
			return nil, err
		}
		var e encoder
		if err := e.prepare(in, c.h.crss[0], l, false, formatGeoJSON, search{}); err != nil {
			return nil, err
		}
		if err := e.object(v); err != nil {
			return nil, err
		}
		return mergePatch(append(e.buf, '}'), body)
	})
}

func (c *call) change(types []string, make func(kind, *store.Version, []byte) ([]byte, error)) error {
	k, err := c.editor()
	if err != nil {
		return err
	}
	body, err := c.body(types...)
	if err != nil {
		return err
	}
	c.h.editing.Lock()
	defer c.h.editing.Unlock()
	v, err := c.existing(k)
	if err != nil {
		return err
	}
	if body, err = make(k, v, body); err != nil {
		return err
	}
	in, err := c.input(k, body)
	if err != nil {
		return err
	}
	key := store.Key{Dataset: v.Dataset, ID: v.Object.ID}
	if in.key.Dataset != "" && in.key.Dataset != key.Dataset {
		return invalid("/properties/dataset", "", "found %.100q; the feature is of the dataset %q, which cannot be changed", in.key.Dataset, key.Dataset)
	}
	if in.key.ID != "" && in.key.ID != key.ID {
		return invalid("/properties/identifier", "", "found %.100q; the feature is %q, which cannot be changed", in.key.ID, key.ID)
	}
	in.key, in.object.ID = key, key.ID
	if sameFootprint(in.object.Geometries, v.Footprint) {
		// The feature has the footprint only: what it was made of stays.
		in.object.Geometries, in.object.CRS = v.Object.Geometries, v.Object.CRS
	} else if hasHeights(v.Object.Geometries) {
		return &city.Error{Code: city.Conflict, Field: "/geometry", Message: "the object has a geometry with heights, of which GeoJSON shows the footprint; another footprint would lose it",
			Hint: "leave the geometry as it is, or import the changed model as a file"}
	}
	if in.object.Height.From != "" && in.object.Height.Metres == v.Object.Height.Metres && in.object.Height.BaseMetres == v.Object.Height.BaseMetres {
		in.object.Height = v.Object.Height
	}
	in.restore(&v.Object)
	return c.put(k, in, http.StatusOK)
}

// restore puts back the attributes of the object before that are no properties
// of their own, with what they say now.
func (in *input) restore(before *spatial.CityObject) {
	o := &in.object
	for i := range before.Attributes {
		a := &before.Attributes[i]
		if !redundant(before, a) {
			continue
		}
		switch {
		case a.Name == "name" && o.Name != "":
			o.Attributes = slices.Insert(o.Attributes, min(i, len(o.Attributes)), spatial.Attribute{Name: a.Name, Value: spatial.TextValue(o.Name)})
		case a.Name == "height" && o.Height.From != "":
			value := a.Value
			if o.Height.Metres != before.Height.Metres {
				value = spatial.FloatValue(o.Height.Metres)
			}
			o.Attributes = slices.Insert(o.Attributes, min(i, len(o.Attributes)), spatial.Attribute{Name: a.Name, Value: value})
		}
	}
}

func hasHeights(list []spatial.Geometry) bool {
	for i := range list {
		if list[i].HasZ {
			return true
		}
	}
	return false
}

// sameFootprint reports whether a geometry is the footprint, to 1e-7 degrees
// (a centimetre), which is what other CRSs leave of it.
func sameFootprint(list []spatial.Geometry, footprint *spatial.Geometry) bool {
	if len(list) == 0 || footprint == nil {
		return len(list) == 0 && footprint == nil
	}
	g := &list[0]
	if g.Kind != footprint.Kind || len(g.XYZ) != len(footprint.XYZ) || len(g.Rings) != len(footprint.Rings) || len(g.Surfaces) != len(footprint.Surfaces) {
		return false
	}
	close := func(a, b []float64) bool {
		for i := range a {
			if i%3 < 2 && (a[i]-b[i] > 1e-7 || b[i]-a[i] > 1e-7) {
				return false
			}
		}
		return true
	}
	if len(g.Rings) == 0 {
		return close(g.XYZ, footprint.XYZ)
	}
	for i := range g.Rings {
		if g.Rings[i] != footprint.Rings[i] {
			return false
		}
		// A ring may have been turned when it was written.
		a, b := g.Ring(i), footprint.Ring(i)
		if !close(a, b) && (g.Kind == spatial.MultiLine || !close(a, reversed(b))) {
			return false
		}
	}
	return true
}

// reversed is a ring the other way round from the same first point.
func reversed(ring []float64) []float64 {
	out := append([]float64(nil), ring[:3]...)
	for i := len(ring) - 3; i >= 3; i -= 3 {
		out = append(out, ring[i:i+3]...)
	}
	return out
}

func (c *call) put(k kind, in *input, status int) error {
	if _, err := c.view.Edit.Put(c.ctx, in.key.Dataset, []*spatial.CityObject{&in.object}); err != nil {
		return err
	}
	v, err := c.view.Store.Get(c.ctx, in.key, time.Time{})
	if err != nil {
		return err
	}
	id := string(appendID(nil, in.key))
	if status == http.StatusCreated {
		c.w.Header().Set("Location", c.base+"/collections/"+k.ID+"/items/"+pathSegment(id))
	}
	return c.oneObject(k, search{crs: c.h.crss[0], profile: "rfc7946"}, v, status)
}

// remove is DELETE /collections/{collectionId}/items/{featureId}: the object's
// validity ends, its history stays.
func (c *call) remove() error {
	k, err := c.editor()
	if err != nil {
		return err
	}
	c.h.editing.Lock()
	defer c.h.editing.Unlock()
	v, err := c.existing(k)
	if err != nil {
		return err
	}
	if _, err := c.view.Edit.Delete(c.ctx, v.Dataset, []string{v.Object.ID}); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
