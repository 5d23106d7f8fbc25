/*
 * Parameters: one table says what a configuration holds. The same table reads the JSON file, applies --set, checks
 * types and ranges, names what is wrong by key and line (with the nearest key that exists), and writes the resolved
 * configuration back with every default in it.
 */
#ifndef COP_BASE_PARAM_H
#define COP_BASE_PARAM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

enum cop_param_kind {
	COP_PARAM_INT,     /* int64_t */
	COP_PARAM_REAL,    /* double */
	COP_PARAM_BOOL,    /* bool */
	COP_PARAM_STRING,  /* char *, owned */
	COP_PARAM_CHOICE,  /* int: the place in `choices` */
	COP_PARAM_CHOICES, /* struct cop_ints: places in `choices`, each once; a word stands for a list of one */
	COP_PARAM_INTS,    /* struct cop_ints */
	COP_PARAM_REALS,   /* struct cop_reals */
	COP_PARAM_STRINGS, /* struct cop_strings */
	COP_PARAM_JSON     /* char *, owned: any value, as JSON without blanks */
};

struct cop_ints {
	int64_t *v;
	size_t n;
};
bool cop_ints_hold(const struct cop_ints *list, int64_t v);

struct cop_reals {
	double *v;
	size_t n;
};
struct cop_strings {
	char **v;
	size_t n;
};

enum {
	COP_PARAM_COMPUTES = 1, /* changes what is computed: part of the hash */
	COP_PARAM_REQUIRED = 2,
	/* came later than others: its default is what was computed before, and leaves the hash as it was */
	COP_PARAM_LATER = 4,
	/* was part of the hash and is no longer: its default stays there, for the sake of what was computed before */
	COP_PARAM_ONCE = 8
};

struct cop_param {
	const char *key; /* dotted: "train.optimizer.lr" */
	enum cop_param_kind kind;
	size_t offset;       /* of the field in the struct that the table describes */
	const char *def;     /* the default as JSON */
	double min, max;     /* inclusive, for numbers and lists of them; both 0: unbounded */
	const char *choices; /* "adam|sgd" */
	const char *help;
	unsigned flags;
};

struct cop_params {
	const struct cop_param *table;
	size_t n;
};

/*
 * Fills `config` (zeroed by the caller) from defaults, then from `text` (JSON called `name` in messages; NULL: none),
 * then from `sets` ("key=value", value as JSON or a bare word). COP_EINPUT for everything that is wrong in them.
 */
int cop_params_load(const struct cop_params *p, void *config, const char *text, const char *name,
		    const char *const *sets, size_t nsets, struct cop_err *err) COP_CHECKED;

/*
 * The configuration as JSON text, every key written; only those with `flags` where not 0, and of these not the later
 * ones that are at their defaults. The caller frees.
 */
char *cop_params_text(const struct cop_params *p, const void *config, unsigned flags);

/* Whether two configurations agree on the parameters with `flags`; else names those that differ into `keys`. */
bool cop_params_same(const struct cop_params *p, const void *a, const void *b, unsigned flags, char *keys, size_t size);

/* Frees what cop_params_load allocated inside `config`. */
void cop_params_release(const struct cop_params *p, void *config);

/* A table of keys, defaults and help as text, for --help; the caller frees. */
char *cop_params_help(const struct cop_params *p);

/* Choice k of "adam|sgd" into buf; returns buf, which holds "" where there is none. */
const char *cop_choice_text(const char *choices, int64_t k, char *buf, size_t size);

/* The place of a word among the choices; -1: it is none of them. */
int cop_choice_find(const char *choices, const char *word);

/* The line (from 1) on which byte `at` of `text` stands. */
int cop_line_of(const char *text, const char *at);

#endif
