/* Parameters; see param.h. */
#include "base/param.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a value came from, for messages: a line of a file, or a --set. */
struct origin {
	const char *name;
	int line; /* 0: --set or default */
};

bool cop_ints_hold(const struct cop_ints *list, int64_t v)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i] == v)
			return true;
	return false;
}

static const struct cop_param *find(const struct cop_params *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->table[i].key, key) == 0)
			return &p->table[i];
	return NULL;
}

/* Whether `key` is the beginning of some parameter's key: an object, not a value. */
static bool is_group(const struct cop_params *p, const char *key)
{
	size_t n = strlen(key);
	for (size_t i = 0; i < p->n; i++)
		if (strncmp(p->table[i].key, key, n) == 0 && p->table[i].key[n] == '.')
			return true;
	return false;
}

static int refuse(const struct origin *o, const char *key, struct cop_err *err, const char *fmt, ...) COP_PRINTF(4, 5);
static int refuse(const struct origin *o, const char *key, struct cop_err *err, const char *fmt, ...)
{
	char what[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (o->line)
		return cop_fail(err, COP_EINPUT, "'%s' line %d: '%s' %s", o->name, o->line, key, what);
	return cop_fail(err, COP_EINPUT, "%s: '%s' %s", o->name, key, what);
}

static const char *last_part(const char *key)
{
	const char *dot = strrchr(key, '.');
	return dot ? dot + 1 : key;
}

/* All that could have been meant: every key, and before it the groups that hold it. The caller frees each and all. */
static char **known_words(const struct cop_params *p, size_t *n)
{
	char **words = NULL;
	size_t cap = 0;
	*n = 0;
	for (size_t i = 0; i < p->n; i++)
		for (const char *end = p->table[i].key; *end; end++)
			if (!end[1] || end[1] == '.') {
				words = cop_grow(words, &cap, *n + 1, sizeof(*words));
				words[(*n)++] = cop_xasprintf("%.*s", (int)(end + 1 - p->table[i].key),
							      p->table[i].key);
			}
	return words;
}

/* Of those with the same last part (something put into the wrong group) the nearest, else the nearest of all. */
static char *nearest_key(const struct cop_params *p, const char *key)
{
	size_t n, least = SIZE_MAX;
	char **words = known_words(p, &n);
	const char *best = NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = cop_str_distance(key, words[i]);
		if (strcmp(last_part(words[i]), last_part(key)) == 0 && d < least) {
			least = d;
			best = words[i];
		}
	}
	if (!best)
		best = cop_str_nearest(key, (const char *const *)words, n);
	char *found = best ? cop_xstrdup(best) : NULL;
	for (size_t i = 0; i < n; i++)
		free(words[i]);
	free(words);
	return found;
}

static int unknown_key(const struct cop_params *p, const struct origin *o, const char *key, struct cop_err *err)
{
	char *near = nearest_key(p, key);
	int rc = near ? refuse(o, key, err, "is no key that exists (did you mean '%s'?)", near)
		      : refuse(o, key, err, "is no key that exists");
	free(near);
	return rc;
}

static int check_range(const struct cop_param *d, double v, const struct origin *o, struct cop_err *err)
{
	if (d->min == d->max || (v >= d->min && v <= d->max))
		return 0;
	if (isinf(d->max))
		return refuse(o, d->key, err, "is %g, but must be at least %g", v, d->min);
	return refuse(o, d->key, err, "is %g, but must lie in %g..%g", v, d->min, d->max);
}

static int take_number(const struct cop_param *d, const cJSON *v, bool whole, double *to, const struct origin *o,
		       struct cop_err *err)
{
	if (!cJSON_IsNumber(v))
		return refuse(o, d->key, err, "must be a %snumber", whole ? "whole " : "");
	if (whole && (v->valuedouble != floor(v->valuedouble) || fabs(v->valuedouble) > 9007199254740992.0))
		return refuse(o, d->key, err, "is %g, but must be a whole number", v->valuedouble);
	*to = v->valuedouble;
	return check_range(d, *to, o, err);
}

int cop_choice_find(const char *choices, const char *word)
{
	size_t n = strlen(word);
	for (int k = 0; n; k++) {
		size_t m = strcspn(choices, "|");
		if (m == n && strncmp(choices, word, n) == 0)
			return k;
		if (!choices[m])
			break;
		choices += m + 1;
	}
	return -1;
}

const char *cop_choice_text(const char *choices, int64_t k, char *buf, size_t size)
{
	for (; k > 0 && *choices; k--) {
		choices += strcspn(choices, "|");
		choices += *choices == '|';
	}
	snprintf(buf, size, "%.*s", k ? 0 : (int)strcspn(choices, "|"), choices);
	return buf;
}

static int take_choice(const struct cop_param *d, const cJSON *v, int *to, const struct origin *o, struct cop_err *err)
{
	const char *word = cJSON_IsString(v) ? v->valuestring : "";
	int k = cop_choice_find(d->choices, word);
	if (k < 0)
		return refuse(o, d->key, err, "is '%s', but must be one of %s", word, d->choices);
	*to = k;
	return 0;
}

static void free_value(const struct cop_param *d, void *field)
{
	if (d->kind == COP_PARAM_STRING || d->kind == COP_PARAM_JSON) {
		free(*(char **)field);
		*(char **)field = NULL;
	} else if (d->kind == COP_PARAM_INTS || d->kind == COP_PARAM_REALS || d->kind == COP_PARAM_CHOICES) {
		struct cop_ints *l = field; /* these lists have one shape */
		free(l->v);
		*l = (struct cop_ints){0};
	} else if (d->kind == COP_PARAM_STRINGS) {
		struct cop_strings *l = field;
		for (size_t i = 0; i < l->n; i++)
			free(l->v[i]);
		free(l->v);
		*l = (struct cop_strings){0};
	}
}

static int take_item(const struct cop_param *d, const cJSON *item, void *field, size_t i, const struct origin *o,
		     struct cop_err *err)
{
	double v = 0;
	int rc;
	switch (d->kind) {
	case COP_PARAM_INTS:
		rc = take_number(d, item, true, &v, o, err);
		((struct cop_ints *)field)->v[i] = (int64_t)v;
		return rc;
	case COP_PARAM_REALS:
		return take_number(d, item, false, &((struct cop_reals *)field)->v[i], o, err);
	default:
		if (!cJSON_IsString(item))
			return refuse(o, d->key, err, "must be a list of strings");
		((struct cop_strings *)field)->v[i] = cop_xstrdup(item->valuestring);
		return 0;
	}
}

static int take_list(const struct cop_param *d, const cJSON *v, void *field, const struct origin *o,
		     struct cop_err *err)
{
	if (!cJSON_IsArray(v))
		return refuse(o, d->key, err, "must be a list");
	free_value(d, field);
	struct cop_strings *l = field; /* the three lists have one shape: a pointer to 8-byte items, and how many */
	size_t n = (size_t)cJSON_GetArraySize(v), i = 0;
	l->v = cop_xcalloc(n, 8);
	l->n = n;
	const cJSON *item;
	cJSON_ArrayForEach (item, v) {
		int rc = take_item(d, item, field, i++, o, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* The value without blanks, its numbers in full; the caller frees. */
static char *json_text(const cJSON *v)
{
	cJSON *exact = cop_json_exact(v);
	char *printed = cJSON_PrintUnformatted(exact), *text = cop_xstrdup(printed ? printed : "null");
	cJSON_free(printed);
	cJSON_Delete(exact);
	return text;
}

/* A key that an object in `v` has twice, or NULL: which of them counted would depend on who asks. */
static const char *find_twice(const cJSON *v)
{
	const cJSON *child;
	cJSON_ArrayForEach (child, v) {
		if (cJSON_IsObject(v) && cJSON_GetObjectItemCaseSensitive(v, child->string) != child)
			return child->string;
		const char *within = find_twice(child);
		if (within)
			return within;
	}
	return NULL;
}

static int take_choices(const struct cop_param *d, const cJSON *v, struct cop_ints *to, const struct origin *o,
			struct cop_err *err)
{
	bool list = cJSON_IsArray(v);
	size_t n = list ? (size_t)cJSON_GetArraySize(v) : 1;
	free_value(d, to);
	to->v = cop_xcalloc(n, sizeof(*to->v));
	for (const cJSON *item = list ? v->child : v; item && to->n < n; item = item->next) {
		int k = 0, rc = take_choice(d, item, &k, o, err);
		if (rc)
			return rc;
		for (size_t i = 0; i < to->n; i++)
			if (to->v[i] == k)
				return refuse(o, d->key, err, "holds '%s' twice", item->valuestring);
		to->v[to->n++] = k;
	}
	return 0;
}

static int take_json(const struct cop_param *d, const cJSON *v, char **to, const struct origin *o, struct cop_err *err)
{
	const char *twice = find_twice(v);
	if (twice)
		return refuse(o, d->key, err, "holds the key '%.40s' twice", twice);
	free_value(d, to);
	*to = json_text(v);
	return 0;
}

static int take_value(const struct cop_param *d, const cJSON *v, void *config, const struct origin *o,
		      struct cop_err *err)
{
	void *field = (char *)config + d->offset;
	double number = 0;
	int rc;
	switch (d->kind) {
	case COP_PARAM_INT:
		rc = take_number(d, v, true, &number, o, err);
		if (!rc)
			*(int64_t *)field = (int64_t)number;
		return rc;
	case COP_PARAM_REAL:
		return take_number(d, v, false, field, o, err);
	case COP_PARAM_BOOL:
		if (!cJSON_IsBool(v))
			return refuse(o, d->key, err, "must be true or false");
		*(bool *)field = cJSON_IsTrue(v);
		return 0;
	case COP_PARAM_STRING:
		if (!cJSON_IsString(v))
			return refuse(o, d->key, err, "must be a string");
		free_value(d, field);
		*(char **)field = cop_xstrdup(v->valuestring);
		return 0;
	case COP_PARAM_CHOICE:
		return take_choice(d, v, field, o, err);
	case COP_PARAM_CHOICES:
		return take_choices(d, v, field, o, err);
	case COP_PARAM_JSON:
		return take_json(d, v, field, o, err);
	default:
		return take_list(d, v, field, o, err);
	}
}

static int load_defaults(const struct cop_params *p, void *config, struct cop_err *err)
{
	struct origin o = {.name = "default"};
	for (size_t i = 0; i < p->n; i++) {
		if (!p->table[i].def)
			continue;
		cJSON *v;
		int rc = cop_json_parse(p->table[i].def, p->table[i].key, &v, err);
		if (!rc)
			rc = take_value(&p->table[i], v, config, &o, err);
		cJSON_Delete(v);
		if (rc)
			return rc;
	}
	return 0;
}

struct reading {
	const struct cop_params *p;
	const char *text, *name;
	const cJSON *root;
	void *config;
	bool *seen;
	struct cop_strings groups; /* those met so far */
	struct cop_err *err;
};

static const cJSON *by_path(const cJSON *root, const char *path)
{
	char *copy = cop_xstrdup(path), *rest = copy;
	for (char *part; root && (part = strsep(&rest, "."));)
		root = cJSON_GetObjectItemCaseSensitive(root, part);
	free(copy);
	return root;
}

static int read_group(struct reading *r, const char *path, const struct origin *o)
{
	for (size_t i = 0; i < r->groups.n; i++)
		if (strcmp(r->groups.v[i], path) == 0)
			return refuse(o, path, r->err, "is there twice");
	r->groups.v = cop_xrealloc(r->groups.v, r->groups.n + 1, sizeof(char *));
	r->groups.v[r->groups.n++] = cop_xstrdup(path);
	return cJSON_IsObject(by_path(r->root, path)) ? 0 : refuse(o, path, r->err, "must be an object");
}

/* Whether `path` leads into a value of which the table says no more than that it is JSON. */
static bool is_inside(const struct cop_params *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++) {
		size_t n = strlen(p->table[i].key);
		if (p->table[i].kind == COP_PARAM_JSON && strncmp(p->table[i].key, path, n) == 0 && path[n] == '.')
			return true;
	}
	return false;
}

static int read_key(const char *path, const char *at, void *user)
{
	struct reading *r = user;
	struct origin o = {.name = r->name, .line = cop_line_of(r->text, at)};
	const struct cop_param *d = find(r->p, path);
	if (is_inside(r->p, path))
		return 0;
	if (!d && is_group(r->p, path))
		return read_group(r, path, &o);
	if (!d)
		return unknown_key(r->p, &o, path, r->err);
	size_t i = (size_t)(d - r->p->table);
	if (r->seen[i])
		return refuse(&o, path, r->err, "is there twice");
	r->seen[i] = true;
	const cJSON *v = by_path(r->root, path);
	if (!v)
		return refuse(&o, path, r->err, "cannot be read");
	return take_value(d, v, r->config, &o, r->err);
}

static int load_text(const struct cop_params *p, void *config, const char *text, const char *name, bool *seen,
		     struct cop_err *err)
{
	cJSON *root;
	int rc = cop_json_parse(text, name, &root, err);
	if (rc)
		return rc;
	struct reading r = {
		.p = p, .text = text, .name = name, .root = root, .config = config, .seen = seen, .err = err};
	rc = cJSON_IsObject(root) ? cop_json_keys(text, read_key, &r)
				  : cop_fail(err, COP_EINPUT, "'%s' line 1: must be an object", name);
	for (size_t i = 0; i < r.groups.n; i++)
		free(r.groups.v[i]);
	free(r.groups.v);
	cJSON_Delete(root);
	return rc;
}

static int load_set(const struct cop_params *p, void *config, const char *set, bool *seen, struct cop_err *err)
{
	struct origin o = {.name = "--set"};
	const char *eq = strchr(set, '=');
	if (!eq || eq == set)
		return cop_fail(err, COP_EINPUT, "--set wants KEY=VALUE, not '%s'", set);
	char *key = cop_xasprintf("%.*s", (int)(eq - set), set);
	const struct cop_param *d = find(p, key);
	int rc = 0;
	if (!d && is_group(p, key)) {
		rc = refuse(&o, key, err, "is a group of keys; set one of them, '%s.…'", key);
	} else if (!d) {
		rc = unknown_key(p, &o, key, err);
	} else {
		/* a bare 12 is a fine name: only what is quoted is a string of JSON */
		bool bare = d->kind == COP_PARAM_STRING && eq[1] != '"';
		cJSON *v = bare ? NULL : cJSON_ParseWithOpts(eq + 1, NULL, 1);
		if (!v)
			v = cJSON_CreateString(eq + 1);
		rc = take_value(d, v, config, &o, err);
		seen[d - p->table] = true;
		cJSON_Delete(v);
	}
	free(key);
	return rc;
}

int cop_params_load(const struct cop_params *p, void *config, const char *text, const char *name,
		    const char *const *sets, size_t nsets, struct cop_err *err)
{
	bool *seen = cop_xcalloc(p->n, sizeof(*seen));
	int rc = load_defaults(p, config, err);
	if (!rc && text)
		rc = load_text(p, config, text, name, seen, err);
	for (size_t i = 0; i < nsets && !rc; i++)
		rc = load_set(p, config, sets[i], seen, err);
	for (size_t i = 0; i < p->n && !rc; i++)
		if ((p->table[i].flags & COP_PARAM_REQUIRED) && !seen[i])
			rc = cop_fail(err, COP_EINPUT, "'%s': '%s' is missing (%s)", name ? name : "configuration",
				      p->table[i].key, p->table[i].help);
	free(seen);
	if (rc)
		cop_params_release(p, config);
	return rc;
}

static cJSON *choice_json(const struct cop_param *d, int64_t k)
{
	char word[64];
	return cJSON_CreateString(cop_choice_text(d->choices, k, word, sizeof(word)));
}

/* A lone one is a word where the default is. */
static cJSON *choices_json(const struct cop_param *d, const struct cop_ints *l)
{
	if (l->n == 1 && d->def && d->def[0] == '"')
		return choice_json(d, l->v[0]);
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < l->n; i++)
		cJSON_AddItemToArray(list, choice_json(d, l->v[i]));
	return list;
}

/* Of text that json_text() gave; nothing: null. */
static cJSON *json_of(const char *text)
{
	cJSON *v = text ? cJSON_Parse(text) : NULL, *exact = v ? cop_json_exact(v) : cJSON_CreateNull();
	cJSON_Delete(v);
	return exact;
}

static cJSON *value_json(const struct cop_param *d, const void *config)
{
	const void *field = (const char *)config + d->offset;
	switch (d->kind) {
	case COP_PARAM_INT:
		return cop_json_number((double)*(const int64_t *)field);
	case COP_PARAM_REAL:
		return cop_json_number(*(const double *)field);
	case COP_PARAM_BOOL:
		return cJSON_CreateBool(*(const bool *)field);
	case COP_PARAM_STRING:
		return cJSON_CreateString(*(char *const *)field ? *(char *const *)field : "");
	case COP_PARAM_CHOICE:
		return choice_json(d, *(const int *)field);
	case COP_PARAM_CHOICES:
		return choices_json(d, field);
	case COP_PARAM_JSON:
		return json_of(*(char *const *)field);
	default:
		break;
	}
	cJSON *list = cJSON_CreateArray();
	const struct cop_strings *l = field;
	for (size_t i = 0; i < l->n; i++) {
		if (d->kind == COP_PARAM_INTS)
			cJSON_AddItemToArray(list, cop_json_number((double)((const struct cop_ints *)field)->v[i]));
		else if (d->kind == COP_PARAM_REALS)
			cJSON_AddItemToArray(list, cop_json_number(((const struct cop_reals *)field)->v[i]));
		else
			cJSON_AddItemToArray(list, cJSON_CreateString(l->v[i]));
	}
	return list;
}

/* The object that holds the last part of `key`, made where it is missing; *last is that part. */
static cJSON *holder(cJSON *root, const char *key, const char **last)
{
	for (const char *dot; (dot = strchr(key, '.')); key = dot + 1) {
		char *part = cop_xasprintf("%.*s", (int)(dot - key), key);
		cJSON *next = cJSON_GetObjectItemCaseSensitive(root, part);
		root = next ? next : cJSON_AddObjectToObject(root, part);
		free(part);
	}
	*last = key;
	return root;
}

static bool at_default(const struct cop_param *d, const void *config)
{
	cJSON *is = value_json(d, config), *was = json_of(d->def);
	bool same = cJSON_Compare(is, was, 1);
	cJSON_Delete(is);
	cJSON_Delete(was);
	return same;
}

char *cop_params_text(const struct cop_params *p, const void *config, unsigned flags)
{
	cJSON *root = cJSON_CreateObject();
	for (size_t i = 0; i < p->n; i++) {
		const struct cop_param *d = &p->table[i];
		bool once = flags && (d->flags & COP_PARAM_ONCE);
		if (flags && !once && (!(d->flags & flags) || ((d->flags & COP_PARAM_LATER) && at_default(d, config))))
			continue;
		const char *last;
		cJSON *object = holder(root, d->key, &last);
		cJSON_AddItemToObject(object, last, once ? json_of(d->def) : value_json(d, config));
	}
	char *printed = cJSON_Print(root);
	char *text = cop_xasprintf("%s\n", printed);
	cJSON_free(printed);
	cJSON_Delete(root);
	return text;
}

bool cop_params_same(const struct cop_params *p, const void *a, const void *b, unsigned flags, char *keys, size_t size)
{
	size_t used = 0;
	keys[0] = '\0';
	for (size_t i = 0; i < p->n; i++) {
		if (flags && !(p->table[i].flags & flags))
			continue;
		cJSON *x = value_json(&p->table[i], a), *y = value_json(&p->table[i], b);
		if (!cJSON_Compare(x, y, 1) && used < size)
			used += (size_t)snprintf(keys + used, size - used, "%s%s", used ? ", " : "", p->table[i].key);
		cJSON_Delete(x);
		cJSON_Delete(y);
	}
	return used == 0;
}

void cop_params_release(const struct cop_params *p, void *config)
{
	for (size_t i = 0; i < p->n; i++)
		free_value(&p->table[i], (char *)config + p->table[i].offset);
}

/* Adds `text` in lines of at most `width` from column `indent` on, broken at blanks; the cursor stands there. */
static void add_wrapped(struct cop_str *s, const char *text, int indent, size_t width)
{
	while (strlen(text) > width) {
		size_t n = width;
		while (n > 0 && text[n] != ' ')
			n--;
		if (n == 0)
			n = strcspn(text, " ");
		cop_str_addn(s, text, n);
		text += n + strspn(text + n, " ");
		if (!*text)
			return;
		cop_str_addf(s, "\n%*s", indent, "");
	}
	cop_str_add(s, text);
}

char *cop_params_help(const struct cop_params *p)
{
	enum { KEY = 28, INDENT = 2 + KEY + 1, WIDTH = 78 - INDENT };
	struct cop_str s = {0};
	for (size_t i = 0; i < p->n; i++) {
		const struct cop_param *d = &p->table[i];
		const char *def = d->flags & COP_PARAM_REQUIRED ? "required" : d->def;
		char *text = cop_xasprintf("%s%s%s (%s)", d->help, d->choices ? ": " : "", d->choices ? d->choices : "",
					   def);
		cop_str_addf(&s, "  %-*s ", KEY, d->key);
		add_wrapped(&s, text, INDENT, WIDTH);
		cop_str_add(&s, "\n");
		free(text);
	}
	return cop_str_take(&s);
}
