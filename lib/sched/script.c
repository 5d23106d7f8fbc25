/* The #SBATCH lines of a batch script; see script.h. */
#include "sched/script.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "sched/args.h"

#include <ctype.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A whole number without sign, blank or overflow. */
static bool parse_count(const char *s, int64_t max, int64_t *v)
{
	return isdigit((unsigned char)*s) && cop_parse_i64(s, v) && *v <= max;
}

/* "90", "90:00", "1:30:00", "1-12", "1-12:30" or "1-12:30:00"; seconds are rounded up to a minute as sbatch does. */
static bool parse_minutes(const char *value, void *field)
{
	enum { MOST = 100000000 };
	int64_t part[3] = {0}, days = 0;
	char text[64];
	int n = 0;
	if (strcasecmp(value, "UNLIMITED") == 0 || strcasecmp(value, "INFINITE") == 0) {
		*(int64_t *)field = COP_TIME_UNLIMITED;
		return true;
	}
	if (strlen(value) >= sizeof(text))
		return false;
	memcpy(text, value, strlen(value) + 1);
	char *rest = text, *dash = strchr(text, '-');
	if (dash) {
		*dash = '\0';
		rest = dash + 1;
		if (!parse_count(text, MOST / 1440, &days))
			return false;
	}
	for (char *word; (word = strsep(&rest, ":")); n++)
		if (n == 3 || !parse_count(word, MOST, &part[n]))
			return false;
	int64_t seconds;
	if (dash)
		seconds = days * 86400 + part[0] * 3600 + part[1] * 60 + part[2];
	else if (n == 3)
		seconds = part[0] * 3600 + part[1] * 60 + part[2];
	else
		seconds = part[0] * 60 + part[1];
	/* sbatch takes 0 for "no limit" */
	*(int64_t *)field = (seconds + 59) / 60;
	return *(int64_t *)field > 0 && *(int64_t *)field <= MOST;
}

/* "8G", "8000M", "8000": MiB without a unit. */
static bool parse_mebibytes(const char *value, void *field)
{
	char digits[16];
	size_t n = strspn(value, "0123456789");
	int64_t v;
	if (n == 0 || n >= sizeof(digits) || (value[n] && value[n + 1]))
		return false;
	memcpy(digits, value, n);
	digits[n] = '\0';
	if (!parse_count(digits, INT32_MAX, &v))
		return false;
	switch (toupper((unsigned char)value[n])) {
	case 'K':
		v = (v + 1023) / 1024;
		break;
	case '\0':
	case 'M':
		break;
	case 'G':
		v *= 1024;
		break;
	case 'T':
		v *= 1024 * 1024;
		break;
	default:
		return false;
	}
	*(int64_t *)field = v;
	return true;
}

static bool parse_word(const char *value, void *field)
{
	char **word = field;
	if (!*value)
		return false;
	free(*word);
	*word = cop_xstrdup(value);
	return true;
}

/* "none" and "help" are orders, not resources. */
static bool parse_resource(const char *value, void *field)
{
	return strcasecmp(value, "none") != 0 && strcasecmp(value, "help") != 0 && parse_word(value, field);
}

static bool parse_cpus(const char *value, void *field)
{
	return parse_count(value, 65000, field) && *(int64_t *)field > 0;
}

static bool parse_open_mode(const char *value, void *field)
{
	int64_t *append = field;
	*append = value[0] == 'a' || value[0] == 'A';
	return strcasecmp(value, "append") == 0 || strcasecmp(value, "truncate") == 0 || strcasecmp(value, "a") == 0 ||
	       strcasecmp(value, "t") == 0;
}

static bool parse_yes(const char *value, void *field)
{
	*(int64_t *)field = 1;
	return *value == '\0';
}

static bool parse_no(const char *value, void *field)
{
	*(int64_t *)field = 0;
	return *value == '\0';
}

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"KILL", SIGKILL},
	{"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"TERM", SIGTERM}, {"CONT", SIGCONT},
};

/* "[B:]SIGNAL[@SECONDS]"; `field` is the script. */
static bool parse_signal(const char *value, void *field)
{
	struct cop_script *s = field;
	char name[16];
	s->signal = -1;
	s->signal_seconds = 60;
	s->signal_batch = strncasecmp(value, "B:", 2) == 0;
	if (s->signal_batch)
		value += 2;
	size_t n = strcspn(value, "@");
	if (n >= sizeof(name) || (value[n] && !parse_count(value + n + 1, UINT16_MAX - 2, &s->signal_seconds)))
		return false;
	memcpy(name, value, n);
	name[n] = '\0';
	const char *bare = strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (strcasecmp(bare, signals[i].name) == 0)
			s->signal = signals[i].number;
	return s->signal > 0 || (parse_count(name, 64, &s->signal) && s->signal > 0);
}

static const struct option_row {
	const char *name;
	char letter; /* 0: has none */
	bool has_value;
	bool (*parse)(const char *value, void *field);
	size_t offset;
} options[] = {
	{"job-name", 'J', true, parse_word, offsetof(struct cop_script, name)},
	{"partition", 'p', true, parse_word, offsetof(struct cop_script, partition)},
	{"account", 'A', true, parse_word, offsetof(struct cop_script, account)},
	{"qos", 'q', true, parse_word, offsetof(struct cop_script, qos)},
	{"constraint", 'C', true, parse_word, offsetof(struct cop_script, constraint)},
	{"exclude", 'x', true, parse_word, offsetof(struct cop_script, exclude)},
	{"reservation", 0, true, parse_word, offsetof(struct cop_script, reservation)},
	{"comment", 0, true, parse_word, offsetof(struct cop_script, comment)},
	{"output", 'o', true, parse_word, offsetof(struct cop_script, output)},
	{"error", 'e', true, parse_word, offsetof(struct cop_script, error)},
	{"array", 'a', true, parse_word, offsetof(struct cop_script, array)},
	{"gres", 0, true, parse_resource, offsetof(struct cop_script, gres)},
	{"gpus", 'G', true, parse_resource, offsetof(struct cop_script, gpus)},
	{"time", 't', true, parse_minutes, offsetof(struct cop_script, minutes)},
	{"cpus-per-task", 'c', true, parse_cpus, offsetof(struct cop_script, cpus)},
	{"mem", 0, true, parse_mebibytes, offsetof(struct cop_script, mem_node)},
	{"mem-per-cpu", 0, true, parse_mebibytes, offsetof(struct cop_script, mem_cpu)},
	{"open-mode", 0, true, parse_open_mode, offsetof(struct cop_script, append)},
	{"requeue", 0, false, parse_yes, offsetof(struct cop_script, requeue)},
	{"no-requeue", 0, false, parse_no, offsetof(struct cop_script, requeue)},
	{"signal", 0, true, parse_signal, 0},
};

/* The next word of *line as sbatch splits it: quotes group, a backslash escapes, "#" ends the line. NULL: no more. */
static char *next_word(const char **line)
{
	struct cop_str word = {0};
	const char *s = *line;
	char quote = '\0';
	while (*s == ' ' || *s == '\t')
		s++;
	if (!*s || *s == '#') {
		*line = s;
		return NULL;
	}
	for (; *s && (quote || (*s != ' ' && *s != '\t' && *s != '#')); s++) {
		if (*s == '\\' && s[1]) {
			cop_str_addn(&word, ++s, 1);
		} else if (quote ? *s == quote : *s == '"' || *s == '\'') {
			quote = quote ? '\0' : *s;
		} else {
			cop_str_addn(&word, s, 1);
		}
	}
	*line = s;
	return cop_str_take(&word);
}

/* The option that `word` starts with, and its value where it is part of the word ("--NAME=VALUE", "-XVALUE"). */
static const struct option_row *find_option(const char *word, const char **value)
{
	*value = NULL;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option_row *o = &options[i];
		size_t n = strlen(o->name);
		if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, o->name, n) == 0 &&
		    (word[2 + n] == '\0' || word[2 + n] == '=')) {
			*value = word[2 + n] ? word + 3 + n : NULL;
			return o;
		}
		if (o->letter && word[0] == '-' && word[1] == o->letter) {
			*value = word[2] ? word + 2 : NULL;
			return o;
		}
	}
	return NULL;
}

/* Takes in the option at words[*i] and goes past its value; returns whether it was understood. */
static bool take_option(struct cop_script *s, const struct cop_args *words, size_t *i)
{
	const char *value;
	const struct option_row *o = find_option(words->v[*i], &value);
	if (!o || (value && !o->has_value))
		return false;
	if (o->has_value && !value) {
		if (*i + 1 >= words->n)
			return false;
		value = words->v[++*i];
	}
	return o->parse(value ? value : "", (char *)s + o->offset);
}

static void parse_line(const char *line, struct cop_script *s)
{
	struct cop_args words = {0};
	char *word;
	while ((word = next_word(&line))) {
		cop_args_add(&words, "%s", word);
		free(word);
	}
	for (size_t i = 0; i < words.n; i++) {
		const char *option = words.v[i];
		if (!take_option(s, &words, &i) && !s->unknown)
			s->unknown = cop_xstrdup(option);
	}
	/* sbatch reports what stands behind a "#" that is glued to a word, or ignores it: not for us to say */
	if (*line == '#' && words.n > 0 && line[-1] != ' ' && line[-1] != '\t' && !s->unknown)
		s->unknown = cop_xstrdup(line);
	cop_args_release(&words);
}

void cop_script_parse(const char *text, struct cop_script *s)
{
	static const char magic[] = "#SBATCH";
	*s = (struct cop_script){.text = cop_xstrdup(text),
				 .minutes = -1,
				 .cpus = -1,
				 .mem_node = -1,
				 .mem_cpu = -1,
				 .requeue = -1,
				 .append = -1,
				 .signal = -1};
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");
		if (at[0] != '#' && strspn(at, " \t") < n)
			break; /* the first command: sbatch looks no further */
		char *line = cop_xasprintf("%.*s", (int)n, at);
		if (strncmp(line, magic, strlen(magic)) == 0)
			parse_line(line + strlen(magic), s);
		/* sbatch reads these too, in its own way */
		else if ((strncmp(line, "#PBS", 4) == 0 || strncmp(line, "#BSUB", 5) == 0) && !s->unknown)
			s->unknown = cop_xstrdup(line);
		free(line);
		at += n + (at[n] == '\n');
	}
}

int cop_script_read(const char *path, struct cop_script *s, struct cop_err *err)
{
	char *text = NULL;
	size_t len = 0;
	int rc = cop_read_file(path, &text, &len, err);
	if (rc)
		return rc;
	if (strncmp(text, "#!", 2) != 0)
		rc = cop_fail(err, COP_EINPUT, "batch script '%s' does not start with '#!'", path);
	else if (strlen(text) != len)
		rc = cop_fail(err, COP_EINPUT, "batch script '%s' contains a zero byte", path);
	else if (strstr(text, "\r\n"))
		rc = cop_fail(err, COP_EINPUT, "batch script '%s' has DOS line ends", path);
	else
		cop_script_parse(text, s);
	free(text);
	return rc;
}

void cop_script_release(struct cop_script *s)
{
	char *owned[] = {s->text,       s->name,    s->partition,   s->account, s->qos,
			 s->constraint, s->exclude, s->reservation, s->comment, s->output,
			 s->error,      s->gres,    s->gpus,        s->array,   s->unknown};
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		free(owned[i]);
	*s = (struct cop_script){0};
}
