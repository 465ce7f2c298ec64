// Package osmpbf reads OpenStreetMap data in PBF
// (https://wiki.openstreetmap.org/wiki/PBF_Format) as CityObjects: the nodes,
// ways and multipolygon relations whose tags make them one of the things that a
// city model has (see typeOf); other elements are left out.
//
// Types are those of CityGML, classes follow from them by the table of
// citymodel; what a tunnel, location=underground or a negative layer places below the ground is
// underground. All tags are kept as texts, in their order. Identifiers are
// "node/1", "way/2", "relation/3", as in GeoJSON made of OSM. A building
// relation makes its outline the parent of its parts.
//
// Coordinates are longitude, latitude in WGS 84, without heights. Areas are
// closed, with the exterior counter-clockwise.
//
// The file is read several times: once for nodes and relations, then twice for
// as many ways as have Limits.Vertices/2 nodes, whose places are in memory with
// 16 bytes each, and so on until all are done. The memory of a large extract is
// thereby bounded by that limit, besides the relations, and not by the file.
package osmpbf

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"

	"cityhub/spatial"
	"cityhub/spatial/citymodel"
	"cityhub/spatial/citymodel/internal/flat"
)

var _ citymodel.Reader = (*Reader)(nil)

// maxBlobs is how many blobs a file may have, of 24 bytes each in memory; a
// planet has some 40,000.
const maxBlobs = 4_000_000

// maxRelationText is how many bytes the tags of all relations may have together.
const maxRelationText = 1 << 30

// Reader reads one file.
type Reader struct {
	m    *flat.Maker
	f    file
	crs  spatial.CRS
	info citymodel.Info
	used bool

	blobs     []blob
	first     int64 // offset of the first blob behind the header
	k         block
	at        spatial.Source // of the blob in work
	locs      locations
	capacity  int // of locs
	relations []polygonRelation
	members   int
	text      int
	parents   map[string]string
	children  map[string][]string
	keys      map[string]string
	splits    int // of relations that were too many at once
	yield     func(*spatial.CityObject) bool
}

// polygonRelation is a multipolygon whose tags are those of an object.
type polygonRelation struct {
	id      int64
	typ     string
	tags    spatial.Attributes
	members []member
	at      spatial.Source
}

// Recognise reports whether head begins an OSM PBF file.
func Recognise(head []byte) bool {
	return len(head) > 15 && head[0] == 0 && head[1] == 0 && string(head[4:15]) == "\x0a\x09OSMHeader"
}

// Open reads the header of size bytes of src. Its errors are of type
// *citymodel.Error.
func Open(src io.ReaderAt, size int64, o citymodel.FeatureOptions) (*Reader, error) {
	r := &Reader{m: flat.New("OSM PBF", o), f: file{src: src, size: size}, parents: map[string]string{}, children: map[string][]string{}, keys: map[string]string{}}
	r.m.Typed = true
	r.capacity = max(r.m.Limits.Vertices/2, 1)
	r.crs = spatial.CRS{Horizontal: spatial.CRS84}
	if o.CRS.Known() {
		r.crs = o.CRS
	}
	r.info = citymodel.Info{Format: "OSM PBF", CRS: r.crs}
	if err := r.header(); err != nil {
		return nil, r.m.Final(1, 0, err)
	}
	return r, nil
}

// header reads the HeaderBlock.
func (r *Reader) header() error {
	typ, b, next, err := r.f.head(0)
	if err != nil {
		return err
	}
	if typ != "OSMHeader" {
		return flat.Faultf(citymodel.WrongType, "the file begins with a blob of type %.40q, expected OSMHeader", typ)
	}
	data, err := r.f.read(b)
	if err != nil {
		return err
	}
	r.first = next
	m := message{b: data}
	for m.next() {
		switch m.field {
		case 1:
			r.info.Extent = extent(m.bytes)
		case 4:
			switch feature := string(m.bytes); feature {
			case "OsmSchema-V0.6", "DenseNodes":
			case "HistoricalInformation":
				return flat.Faultf(citymodel.UnknownType, "the file is a history of OSM; make a snapshot of it: osmium time-filter -o new.osm.pbf old.osh.pbf")
			default:
				return flat.Faultf(citymodel.UnknownType, "the file needs the feature %.60q, which is not known", feature)
			}
		}
	}
	return m.err
}

func extent(b []byte) *spatial.Box {
	var v [5]float64 // left, right, top, bottom in nanodegrees
	m := message{b: b}
	for m.next() {
		if m.field < len(v) {
			v[m.field] = float64(zigzag(m.num)) / 1e9
		}
	}
	if m.err != nil {
		return nil
	}
	return &spatial.Box{Min: [3]float64{v[1], v[4]}, Max: [3]float64{v[2], v[3]}}
}

// Info is what the file says of itself.
func (r *Reader) Info() citymodel.Info { return r.info }

// Tally counts what has been read.
func (r *Reader) Tally() citymodel.Tally { return r.m.Tally }

var errStop = errors.New("stop")

// Objects gives the nodes, then the ways, then the relations. It can be called
// once.
func (r *Reader) Objects() iter.Seq2[*spatial.CityObject, error] {
	return func(yield func(*spatial.CityObject, error) bool) {
		if r.used {
			yield(nil, flat.ErrUsed)
			return
		}
		r.used = true
		defer r.f.close()
		r.yield = func(o *spatial.CityObject) bool { return yield(o, nil) }
		err := r.scan()
		if err == nil {
			err = r.ways()
		}
		if err == nil {
			err = r.polygons(r.relations)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, r.m.Final(r.at.Line, r.at.Offset, err))
		}
	}
}

// load unpacks blob i.
func (r *Reader) load(i int) error {
	r.at = spatial.Source{Line: i + 2, Offset: r.blobs[i].offset}
	data, err := r.f.read(r.blobs[i])
	if err != nil {
		return err
	}
	return r.k.read(data)
}

// scan is the first pass: it lists the blobs, gives the nodes that are objects
// and keeps the relations.
func (r *Reader) scan() error {
	for offset := r.first; offset < r.f.size; {
		r.at = spatial.Source{Line: len(r.blobs) + 2, Offset: offset}
		typ, b, next, err := r.f.head(offset)
		if err != nil {
			return err
		}
		offset = next
		if typ != "OSMData" {
			continue // of an extension; the format says to skip it
		}
		if len(r.blobs) >= maxBlobs {
			return flat.Faultf(citymodel.TooLarge, "more than %d blobs", maxBlobs)
		}
		r.blobs = append(r.blobs, b)
		i := len(r.blobs) - 1
		if err := r.load(i); err != nil {
			return err
		}
		r.blobs[i].kinds = r.k.kinds()
		if err := r.k.nodes(r.node); err != nil {
			return err
		}
		if err := r.k.relations(r.relation); err != nil {
			return err
		}
	}
	return nil
}

// tags makes attributes of tags.
func (r *Reader) tags(tags []tag) (spatial.Attributes, error) {
	if len(tags) > r.m.Limits.Attributes {
		return nil, flat.Faultf(citymodel.TooLarge, "an element of %d tags; the limit is %d", len(tags), r.m.Limits.Attributes)
	}
	list := make(spatial.Attributes, 0, len(tags))
	size := 0
	for _, t := range tags {
		value := strings.ToValidUTF8(r.k.text(t.value), "\ufffd")
		if size += len(value); len(value) > r.m.Limits.ValueBytes || size > r.m.Limits.RecordBytes {
			return nil, flat.Faultf(citymodel.TooLarge, "a tag of %d bytes; the limit of a value is %d, of an object %d", len(value), r.m.Limits.ValueBytes, r.m.Limits.RecordBytes)
		}
		list = append(list, spatial.Attribute{Name: r.key(t.key), Value: spatial.TextValue(value)})
	}
	return list, nil
}

// key is the name of a tag; the same names share their memory.
func (r *Reader) key(i uint32) string {
	if int(i) >= len(r.k.strings) {
		return ""
	}
	b := r.k.strings[i]
	if s, ok := r.keys[string(b)]; ok {
		return s
	}
	s := strings.ToValidUTF8(string(b), "\ufffd")
	if len(r.keys) < 10_000 && len(s) <= 100 {
		r.keys[s] = s
	}
	return s
}

func (r *Reader) node(id int64, at location, ok bool, tags []tag) error {
	if !r.k.wanted(tags) {
		return nil
	}
	list, err := r.tags(tags)
	if err != nil {
		return err
	}
	typ, _ := typeOf(node, list)
	if typ == "" {
		return nil
	}
	o := r.object(node, id, typ, list, r.at)
	if !ok {
		r.m.Dropped(o, "geometry", flat.Faultf(citymodel.OutOfRange, "a place beyond 180 or 90 degrees"))
		return r.give(o, nil)
	}
	var s flat.Shapes
	s.Reset(1)
	s.Begin(spatial.MultiPoint, false)
	x, y := at.degrees()
	if err := s.Point(x, y, 0); err != nil {
		return err
	}
	return r.give(o, &s)
}

func (r *Reader) object(e element, id int64, typ string, tags spatial.Attributes, at spatial.Source) *spatial.CityObject {
	o := &spatial.CityObject{ID: e.String() + "/" + strconv.FormatInt(id, 10), Type: typ, Attributes: tags, CRS: r.crs, Source: at}
	if parent, ok := r.parents[o.ID]; ok {
		o.Parents = []string{parent}
	}
	o.Children = r.children[o.ID]
	return o
}

// give finishes an object and hands it on.
func (r *Reader) give(o *spatial.CityObject, s *flat.Shapes) error {
	if s != nil {
		r.m.Geometries(o, s, "geometry")
	}
	r.m.Opt.Classify(o)
	given := false
	if r.m.Opt.ClassOf != nil {
		_, given = r.m.Opt.ClassOf(o.Type)
	}
	if !given && o.Class != "" && underground(o.Type, o.Attributes) {
		o.Class = spatial.ClassUnderground
	}
	r.m.Finish(o)
	if !r.yield(o) {
		return errStop
	}
	return nil
}

// relation keeps a relation that is an object, or joins objects.
func (r *Reader) relation(id int64, tags []tag, members func() ([]member, error)) error {
	kind := ""
	for _, t := range tags {
		if r.key(t.key) == "type" {
			kind = r.k.text(t.value)
		}
	}
	if kind != "building" && (kind != "multipolygon" || !r.k.wanted(tags)) {
		return nil
	}
	list, err := r.tags(tags)
	if err != nil {
		return err
	}
	typ, area := typeOf(relation, list)
	if kind == "multipolygon" && (typ == "" || !area) {
		return nil
	}
	m, err := members()
	if err != nil {
		return err
	}
	for _, t := range list {
		r.text += len(t.Value.String()) + len(t.Name)
	}
	if r.members += len(m); r.members > r.m.Limits.Vertices/4 || r.text > maxRelationText {
		return flat.Faultf(citymodel.TooLarge, "relations of more than %d members, or %d bytes of tags, together; raise Limits.Vertices if the file is meant to be that large", r.m.Limits.Vertices/4, maxRelationText)
	}
	if kind == "building" {
		r.building(m)
		return nil
	}
	r.relations = append(r.relations, polygonRelation{id: id, typ: typ, tags: list, members: m, at: r.at})
	return nil
}

// building makes the outline of a building the parent of its parts
// (https://wiki.openstreetmap.org/wiki/Relation:building).
func (r *Reader) building(members []member) {
	name := func(m member) string { return fmt.Sprintf("%v/%d", element(min(m.kind, 2)), m.id) }
	outline := ""
	for _, m := range members {
		if m.role == "outline" {
			outline = name(m)
		}
	}
	if outline == "" {
		return
	}
	for _, m := range members {
		part := name(m)
		if _, taken := r.parents[part]; m.role == "part" && !taken && part != outline {
			r.parents[part] = outline
			r.children[outline] = append(r.children[outline], part)
		}
	}
}

// each loads the blobs from … to that have one of kinds.
func (r *Reader) each(from, to int, kinds uint8, f func() error) error {
	for i := from; i < to; i++ {
		if r.blobs[i].kinds&kinds == 0 {
			continue
		}
		if err := r.load(i); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// locate finds the places of the nodes that are needed.
func (r *Reader) locate() error {
	r.locs.ready()
	return r.each(0, len(r.blobs), hasNodes, func() error {
		if r.locs.found == len(r.locs.ids) {
			return nil
		}
		return r.k.nodes(func(id int64, at location, ok bool, _ []tag) error {
			if ok {
				r.locs.set(id, at)
			}
			return nil
		})
	})
}

// ways gives the ways, as many at a time as there is room for the places of
// their nodes.
func (r *Reader) ways() error {
	for from := 0; from < len(r.blobs); {
		r.locs.reset()
		to := from
		for ; to < len(r.blobs) && (to == from || len(r.locs.ids) < r.capacity); to++ {
			if err := r.each(to, to+1, hasWays, func() error {
				return r.k.ways(func(_ int64, tags []tag, refs varints) error {
					if r.k.wanted(tags) {
						for id := int64(0); refs.more(); {
							id += refs.signed()
							r.locs.need(id)
						}
					}
					return nil
				})
			}); err != nil {
				return err
			}
		}
		if len(r.locs.ids) > 0 {
			if err := r.locate(); err != nil {
				return err
			}
		}
		if err := r.each(from, to, hasWays, func() error { return r.k.ways(r.way) }); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (r *Reader) way(id int64, tags []tag, refs varints) error {
	if !r.k.wanted(tags) {
		return nil
	}
	list, err := r.tags(tags)
	if err != nil {
		return err
	}
	typ, area := typeOf(way, list)
	if typ == "" {
		return nil
	}
	o := r.object(way, id, typ, list, r.at)
	var nodes []int64
	for ref := int64(0); refs.more(); {
		ref += refs.signed()
		if len(nodes) >= r.m.Limits.ObjectPoints {
			r.m.Dropped(o, "geometry", flat.Faultf(citymodel.TooLarge, "more than %d nodes; raise Limits.ObjectPoints if the object is meant to be that large", len(nodes)))
			return r.give(o, nil)
		}
		nodes = append(nodes, ref)
	}
	if refs.bad {
		return errTags
	}
	closed := len(nodes) > 3 && nodes[0] == nodes[len(nodes)-1]
	points, missing := r.points(nil, nodes)
	var s flat.Shapes
	s.Reset(r.m.Limits.ObjectPoints)
	switch {
	case len(points) == 0:
		r.m.Dropped(o, "geometry", flat.Faultf(citymodel.BadReference, "none of its %d nodes is in the file", len(nodes)))
		return r.give(o, nil)
	case area && closed:
		if missing > 0 {
			r.m.Dropped(o, "geometry", flat.Faultf(citymodel.BadReference, "%d of its %d nodes are not in the file, as if it were cut out of a larger one; cut it with complete ways", missing, len(nodes)))
			return r.give(o, nil)
		}
		s.Begin(spatial.MultiSurface, false)
		err = addRing(&s, points, ccw(points))
		s.EndSurface()
	default:
		if missing > 0 {
			r.m.Warn(o, citymodel.BadReference, "geometry", "%d of its %d nodes are not in the file and left out", missing, len(nodes))
		}
		s.Begin(spatial.MultiLine, false)
		for _, p := range points {
			x, y := p.degrees()
			if err = s.Point(x, y, 0); err != nil {
				break
			}
		}
		s.EndLine()
	}
	if err != nil {
		return err // the number of points has been checked
	}
	return r.give(o, &s)
}

// points appends the places of nodes and counts those that have none.
func (r *Reader) points(to []location, nodes []int64) (_ []location, missing int) {
	for _, id := range nodes {
		if p, ok := r.locs.get(id); ok {
			to = append(to, p)
		} else {
			missing++
		}
	}
	return to, missing
}

// addRing adds a closed ring, backwards where it runs clockwise and should not.
func addRing(s *flat.Shapes, points []location, forwards bool) error {
	for i := range points {
		p := points[i]
		if !forwards {
			p = points[len(points)-1-i]
		}
		x, y := p.degrees()
		if err := s.Point(x, y, 0); err != nil {
			return err
		}
	}
	s.EndRing()
	return nil
}

// ccw reports whether a ring runs counter-clockwise. The sum is exact unless the
// ring is larger than a continent.
func ccw(points []location) bool {
	area := 0.0
	for i, p := range points {
		q := points[(i+1)%len(points)]
		x0, y0 := float64(points[0].x), float64(points[0].y)
		area += (float64(p.x)-x0)*(float64(q.y)-y0) - (float64(q.x)-x0)*(float64(p.y)-y0)
	}
	return area >= 0 || math.IsNaN(area)
}
