/* The version, and the commit that was built where it is known: "0.1.0 (abc1234)". Stored in every file written. */
#ifndef COP_BASE_VERSION_H
#define COP_BASE_VERSION_H

const char *cop_version(void);

#endif
