package cityimport

import (
	"cityhub/spatial"
	"cityhub/spatial/citymodel"
)

// codeNames are the attributes in which districts have their administrative
// code (GB/T 2260), as DataV, Tianditu, OpenStreetMap and the survey write them.
var codeNames = [...]string{"adcode", "code", "gb", "ad_code", "admin_code", "adm_code", "ref:admin", "行政区划代码", "区划代码", "行政代码", "XZQDM", "PAC", "ADCODE", "CODE", "GB", "id"}

// nameNames are those in which objects have their name.
var nameNames = [...]string{"name", "NAME", "Name", "名称", "地区", "XZQMC", "name:zh"}

// district makes the administrative code the identifier of o: terminals and
// districts meet by it.
func (r *run) district(o *spatial.CityObject) error {
	if administrative(o.ID) {
		return nil
	}
	for _, n := range codeNames {
		v, ok := o.Attributes.Get(n)
		if !ok {
			continue
		}
		code := v.String()
		if len(code) == 9 && code[:3] == "156" { // Tianditu writes 156 for China before it
			code = code[3:]
		}
		if administrative(code) {
			o.ID = code
			return nil
		}
	}
	r.add(findingOf(citymodel.Problem{
		Severity: citymodel.SeverityWarning, Code: citymodel.NoID, File: o.Source.File, Line: o.Source.Line, Object: o.ID,
		Message: "no administrative code (attribute adcode or code); its identifier in the file stands for it, " + o.ID,
	}, Noted))
	return nil
}

// administrative reports whether s is a code of GB/T 2260 or, for streets and
// communities, of its extensions: 6, 9 or 12 digits.
func administrative(s string) bool {
	if len(s) != 6 && len(s) != 9 && len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s[0] != '0'
}

// identify gives o the identifier and the name that its attributes hold.
func (r *run) identify(o *spatial.CityObject) error {
	if r.o.ID != "" {
		v, ok := o.Attributes.Get(r.o.ID)
		if !ok || v.Kind() == spatial.Null || v.String() == "" {
			return fault(o, r.o.ID, "the object has no such attribute, or an empty one, to identify it", "name another attribute with --id", nil)
		}
		o.ID = v.String()
	}
	for _, n := range nameNames {
		if o.Name != "" {
			break
		}
		if v, ok := o.Attributes.Get(n); ok {
			o.Name, _ = v.Text()
		}
	}
	return nil
}
