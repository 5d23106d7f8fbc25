/* JSON; see json.h. */
#include "base/json.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/param.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cJSON does not say whether a text was wrong or memory was wanting, and parts that find none would be missing. */
static void __attribute__((constructor)) choose_memory(void)
{
	cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = cop_xmalloc, .free_fn = free});
}

int cop_line_of(const char *text, const char *at)
{
	int line = 1;
	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

int cop_json_parse(const char *text, const char *name, cJSON **json, struct cop_err *err)
{
	const char *end = NULL;
	*json = cJSON_ParseWithOpts(text, &end, 1);
	if (*json)
		return 0;
	if (!text[strspn(text, " \t\r\n")])
		return cop_fail(err, COP_EINPUT, "'%s' is empty", name);
	if (end && !*end)
		return cop_fail(err, COP_EINPUT, "'%s' line %d: the JSON ends too early", name, cop_line_of(text, end));
	return cop_fail(err, COP_EINPUT, "'%s' line %d: not valid JSON near '%.20s'", name,
			cop_line_of(text, end ? end : text), end ? end : "");
}

int cop_json_read(const char *path, cJSON **json, struct cop_err *err)
{
	char *text;
	size_t len;
	int rc = cop_read_file(path, &text, &len, err);
	if (rc)
		return rc;
	rc = cop_json_parse(text, path, json, err);
	free(text);
	return rc;
}

int cop_json_write(const char *path, const cJSON *json, struct cop_err *err)
{
	char *text = cJSON_Print(json);
	if (!text)
		return cop_fail(err, COP_EFAILED, "out of memory for '%s'", path);
	struct cop_str s = {0};
	cop_str_add(&s, text);
	cop_str_add(&s, "\n");
	cJSON_free(text);
	int rc = cop_write_file(path, s.s, s.len, err);
	cop_str_release(&s);
	return rc;
}

struct walk {
	const char *p;
	int (*key)(const char *path, const char *at, void *user);
	void *user;
};

static void skip_space(struct walk *w)
{
	while (*w->p && strchr(" \t\r\n", *w->p))
		w->p++;
}

/* Past a string that starts at the quote. */
static void skip_string(struct walk *w)
{
	for (w->p++; *w->p && *w->p != '"'; w->p++)
		if (*w->p == '\\' && w->p[1])
			w->p++;
	if (*w->p)
		w->p++;
}

/* Past a list or a plain value: what stands inside a list has no key of its own. */
static void skip_value(struct walk *w)
{
	int depth = 0;
	for (; *w->p; w->p++) {
		if (*w->p == '"') {
			skip_string(w);
			w->p--;
		} else if (strchr("[{", *w->p)) {
			depth++;
		} else if (strchr("]}", *w->p)) {
			if (depth == 0)
				return;
			depth--;
		} else if (*w->p == ',' && depth == 0) {
			return;
		}
	}
}

static int walk_object(struct walk *w, const char *prefix)
{
	w->p++;
	for (;;) {
		skip_space(w);
		if (*w->p == ',') {
			w->p++;
			continue;
		}
		if (*w->p != '"')
			break;
		const char *at = w->p;
		skip_string(w);
		char *path = cop_xasprintf("%s%s%.*s", prefix, *prefix ? "." : "", (int)(w->p - at - 2), at + 1);
		int rc = w->key(path, at, w->user);
		skip_space(w);
		if (*w->p == ':')
			w->p++;
		skip_space(w);
		if (rc == 0 && *w->p == '{')
			rc = walk_object(w, path);
		else if (rc == 0)
			skip_value(w);
		free(path);
		if (rc)
			return rc;
	}
	if (*w->p == '}')
		w->p++;
	return 0;
}

int cop_json_keys(const char *text, int (*key)(const char *path, const char *at, void *user), void *user)
{
	struct walk w = {.p = text, .key = key, .user = user};
	skip_space(&w);
	return *w.p == '{' ? walk_object(&w, "") : 0;
}

const char *cop_json_str(const cJSON *object, const char *key, const char *otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsString(v) ? v->valuestring : otherwise;
}

double cop_json_num(const cJSON *object, const char *key, double otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

bool cop_json_bool(const cJSON *object, const char *key, bool otherwise)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsBool(v) ? cJSON_IsTrue(v) : otherwise;
}

cJSON *cop_json_number(double v)
{
	char text[32];
	if (!isfinite(v))
		return cJSON_CreateNull();
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	return cJSON_CreateRaw(text);
}

cJSON *cop_json_exact(const cJSON *v)
{
	if (cJSON_IsNumber(v))
		return cop_json_number(v->valuedouble);
	if (!cJSON_IsArray(v) && !cJSON_IsObject(v))
		return cJSON_Duplicate(v, 0);
	cJSON *copy = cJSON_IsArray(v) ? cJSON_CreateArray() : cJSON_CreateObject();
	const cJSON *item;
	cJSON_ArrayForEach (item, v) {
		if (cJSON_IsArray(v))
			cJSON_AddItemToArray(copy, cop_json_exact(item));
		else
			cJSON_AddItemToObject(copy, item->string, cop_json_exact(item));
	}
	return copy;
}

void cop_json_add_num(cJSON *object, const char *key, double v)
{
	cJSON_AddItemToObject(object, key, cop_json_number(v));
}
