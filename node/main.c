/* shoal: the node and its commands in one program. */
#include <string.h>

#include "node/cli/cli.h"
#include "node/daemon.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "daemon") == 0)
        return daemon_main(argc - 1, argv + 1);
    return cli_main(argc, argv);
}
