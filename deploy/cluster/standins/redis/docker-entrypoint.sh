#!/bin/sh
# As the official image does: options alone are options of redis-server, and root is given up.
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
  set -- redis-server "$@"
fi
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis '{}' +
  exec setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"
fi
case "$*" in
*protected-mode*) ;;
redis-server*) set -- "$@" --protected-mode no ;; # the official image is built so
esac
exec "$@"
