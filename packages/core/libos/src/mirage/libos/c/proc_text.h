/* What the files of /proc say: see proc(5) of Linux for their formats. */
#ifndef PROC_TEXT_H
#define PROC_TEXT_H

#include "text.h"

void write_cmdline(struct text *text);
void write_comm(struct text *text);
void write_cpuinfo(struct text *text);
void write_environ(struct text *text);
void write_loadavg(struct text *text);
void write_maps(struct text *text);
void write_meminfo(struct text *text);
void write_mountinfo(struct text *text);
void write_mounts(struct text *text);
void write_stat(struct text *text);
void write_statm(struct text *text);
void write_status(struct text *text);
void write_system_stat(struct text *text);
void write_uptime(struct text *text);
void write_version(struct text *text);

#endif
