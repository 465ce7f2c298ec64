package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"cityhub/internal/web"
	"cityhub/twin"
)

const datasetsPath = "/api/v1/datasets"

// Dataset is an entry of the public data catalogue.
type Dataset struct {
	ID          twin.DatasetID `json:"id" readOnly:"true" required:"false"`
	Code        string         `json:"code" required:"false" maxLength:"64" doc:"As in the path"`
	Title       string         `json:"title" doc:"Chinese"`
	TitleEn     string         `json:"titleEn,omitempty"`
	Description string         `json:"description,omitempty"`
	Owner       string         `json:"owner" doc:"The one body that is responsible for it"`
	Open        twin.Openness  `json:"open" required:"false" enum:"unconditional,conditional,none" doc:"How it is opened to society; none when left out"`
	Simulated   bool           `json:"simulated" required:"false" doc:"Its readings come from a generator or a replay"`
}

// DatasetPatch changes the members of a Dataset that it has.
type DatasetPatch struct {
	Title       *string        `json:"title,omitempty"`
	TitleEn     *string        `json:"titleEn,omitempty"`
	Description *string        `json:"description,omitempty"`
	Owner       *string        `json:"owner,omitempty"`
	Open        *twin.Openness `json:"open,omitempty" enum:"unconditional,conditional,none"`
	Simulated   *bool          `json:"simulated,omitempty"`
}

func datasetOf(d twin.Dataset) Dataset {
	return Dataset{ID: d.ID, Code: d.Code, Title: d.Title, TitleEn: d.TitleEn, Description: d.Description, Owner: d.Owner, Open: d.Open, Simulated: d.Simulated}
}

type datasetsOutput struct {
	Body struct {
		Datasets []Dataset `json:"datasets"`
	}
}

type datasetOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     Dataset
}

type datasetCode struct {
	Code string `path:"code" maxLength:"64" doc:"Code of the Dataset"`
}

func (a *API) datasets() {
	tags := []string{"datasets"}
	// 苏州市数据条例 第十四条: the catalogue of open data is public; what is not
	// open shows to the operator alone (R35).
	register(a, anybody, huma.Operation{OperationID: "list-datasets", Method: http.MethodGet, Path: datasetsPath, Summary: "List the Datasets that the caller sees", Tags: tags},
		func(ctx context.Context, _ *struct{}) (*datasetsOutput, error) {
			v, err := a.o.Gate.View(ctx, web.PrincipalFrom(ctx))
			if err != nil {
				return nil, err
			}
			out := &datasetsOutput{}
			out.Body.Datasets = []Dataset{}
			for _, d := range v.Datasets() {
				out.Body.Datasets = append(out.Body.Datasets, datasetOf(d))
			}
			return out, nil
		})
	register(a, anybody, huma.Operation{OperationID: "get-dataset", Method: http.MethodGet, Path: datasetsPath + "/{code}", Summary: "Read a Dataset", Tags: tags},
		func(ctx context.Context, in *datasetCode) (*datasetOutput, error) {
			v, err := a.o.Gate.View(ctx, web.PrincipalFrom(ctx))
			if err != nil {
				return nil, err
			}
			for _, d := range v.Datasets() {
				if d.Code == in.Code {
					return &datasetOutput{Status: http.StatusOK, Body: datasetOf(d)}, nil
				}
			}
			return nil, noDataset(in.Code)
		})
	register(a, admin, huma.Operation{OperationID: "put-dataset", Method: http.MethodPut, Path: datasetsPath + "/{code}", Summary: "Register or replace a Dataset", Tags: tags},
		func(ctx context.Context, in *struct {
			Code string `path:"code" maxLength:"64" doc:"Code of the Dataset"`
			Body Dataset
		}) (*datasetOutput, error) {
			if in.Body.Code != "" && in.Body.Code != in.Code {
				return nil, &twin.Error{Code: twin.CodeInvalid, Op: "put dataset", Field: "code", Message: strconv.Quote(in.Body.Code) + " is not the code in the path", Hint: "a code does not change; leave it out"}
			}
			b := in.Body
			return a.putDataset(ctx, twin.Dataset{Code: in.Code, Title: b.Title, TitleEn: b.TitleEn, Description: b.Description, Owner: b.Owner, Open: b.Open, Simulated: b.Simulated})
		})
	register(a, admin, huma.Operation{OperationID: "patch-dataset", Method: http.MethodPatch, Path: datasetsPath + "/{code}", Summary: "Change a Dataset, for example how it is opened", Tags: tags},
		func(ctx context.Context, in *struct {
			Code string `path:"code" maxLength:"64" doc:"Code of the Dataset"`
			Body DatasetPatch
		}) (*datasetOutput, error) {
			d, err := a.o.Registry.DatasetByCode(ctx, in.Code)
			if err != nil {
				return nil, err
			}
			b := in.Body
			set(&d.Title, b.Title)
			set(&d.TitleEn, b.TitleEn)
			set(&d.Description, b.Description)
			set(&d.Owner, b.Owner)
			set(&d.Open, b.Open)
			set(&d.Simulated, b.Simulated)
			return a.putDataset(ctx, d)
		})
}

func (a *API) putDataset(ctx context.Context, d twin.Dataset) (*datasetOutput, error) {
	_, err := a.o.Registry.DatasetByCode(ctx, d.Code)
	created := twin.ErrorCode(err) == twin.CodeNotFound
	if err != nil && !created {
		return nil, err
	}
	stored, err := a.o.Registry.PutDataset(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &datasetOutput{Status: http.StatusOK, Body: datasetOf(stored)}
	if created {
		out.Status, out.Location = http.StatusCreated, datasetsPath+"/"+stored.Code
	}
	return out, nil
}

func noDataset(code string) error {
	return &twin.Error{Code: twin.CodeNotFound, Op: "find dataset", Field: "code", Message: "there is no Dataset " + strconv.Quote(code)}
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}
