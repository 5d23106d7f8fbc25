/*
 * Errors as values. A library function returns 0 or a negative code and fills the caller's struct; nothing below bin/
 * prints or exits. The codes are the negated exit codes of the program.
 */
#ifndef COP_BASE_ERR_H
#define COP_BASE_ERR_H

#define COP_CHECKED __attribute__((warn_unused_result))
#define COP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum cop_code {
	COP_OK = 0,
	COP_EFAILED = -1,  /* it was tried and failed */
	COP_EINPUT = -2,   /* bad usage or bad input: the user can mend it */
	COP_EMISSING = -3, /* a needed capability is not here (a module, a GPU, SLURM) */
	COP_EPARTIAL = -4, /* some cells failed */
	COP_EFULL = -5,    /* the queue takes no more now; the program ends as after COP_EFAILED */
	COP_ESTOPPED = -75 /* checkpointed on request; wants to be run again */
};

/* Holds the last failure: `msg` is one line, lower case, names the subject in quotes. Untouched on success. */
struct cop_err {
	int code;
	char msg[1024];
};

/* Fills `err` (which may be NULL) and returns `code`, so that a caller can write `return cop_fail(...)`. */
int cop_fail(struct cop_err *err, int code, const char *fmt, ...) COP_PRINTF(3, 4);

/* The same, followed by ": " and what errno says. */
int cop_fail_errno(struct cop_err *err, int code, const char *fmt, ...) COP_PRINTF(3, 4);

/* Puts "CONTEXT: " before the message and returns the code that is there. */
int cop_context(struct cop_err *err, const char *fmt, ...) COP_PRINTF(2, 3);

/* A programmer's error: says where and aborts. */
#define COP_BUG(what) cop_bug(__FILE__, __LINE__, what)
void cop_bug(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
