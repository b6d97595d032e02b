package provider

import (
	"context"
	"html/template"
	"net/http"
)

const signInPath = "/sign-in"

// pages are what people see.
type pages struct {
	member  string
	storage *storage
	done    func(context.Context, string) string // where who signed in goes on
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in at {{.Member}}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 10vh auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
input { margin: .25rem 0 1rem; padding: .5rem; border: 1px solid #767676; }
button { padding: .6rem; border: 0; background: #0b57d0; color: #fff; }
.problem { color: #b3261e; }
.note { color: #5f5f5f; font-size: .875rem; }
</style>
<h1>Sign in at {{.Member}}</h1>
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}
<form method="post" action="/sign-in">
<input type="hidden" name="id" value="{{.ID}}">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
<p class="note">For trying, not for service. Names and passwords are in members/{{.Member}}/provider/people.yaml of the consortium's directory.</p>
</html>
`))

func (p *pages) render(out http.ResponseWriter, id string, problem error) {
	h := out.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	said := struct{ Member, ID, Problem string }{Member: p.member, ID: id}
	if problem != nil {
		said.Problem = problem.Error()
		out.WriteHeader(http.StatusForbidden)
	}
	_ = page.Execute(out, said) // who has gone away needs no page
}

func (p *pages) show(out http.ResponseWriter, in *http.Request) {
	p.render(out, in.URL.Query().Get("id"), nil)
}

func (p *pages) check(out http.ResponseWriter, in *http.Request) {
	id := in.PostFormValue("id")
	if err := p.storage.signIn(id, in.PostFormValue("name"), in.PostFormValue("password")); err != nil {
		p.render(out, id, err)
		return
	}
	http.Redirect(out, in, p.done(in.Context(), id), http.StatusSeeOther)
}
