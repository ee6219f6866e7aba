# For the scripts of the package: which configuration the service runs with.

# Prints the file that the unit names with --config, or the one that is there without it. It is read as text, and nothing of
# the unit is run. Fails where the file is told by a variable or an escape, for only systemd knows what becomes of these.
unit_configuration() {
    words=$(systemctl show --property=ExecStart drawbridge.service | sed -nE 's/^ExecStart=.* argv\[\]=(.*) ; ignore_errors=.*$/\1/p')
    case "$words " in
        *--config* | *" -c"* | *'"-c'*)
            # systemd of Debian 12 shows no quotes; but nothing follows the file.
            file=$(printf '%s\n' "$words" | sed -nE 's/^[^ ]+ run (--config[ =]|-c[ =]?)"?([^"\$'\'']+)"?$/\2/p')
            [ -n "$file" ] && printf '%s\n' "$file"
            ;;
        *) echo /etc/drawbridge/drawbridge.toml ;;
    esac
}
