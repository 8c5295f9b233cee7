# What can be reached from here, with the rights of whoever runs this: a line each. Debian's smallest Perl is in every image.
# What to reach for comes below the end, a line each: KIND VALUE.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;

my (%wanted, %seen);
while (my $line = <DATA>) {
    chomp $line;
    my ($kind, $value) = split / /, $line, 2;
    push @{$wanted{$kind}}, $value;
}
sub told { print "@_\n" unless $seen{"@_"}++ }

# Every secret is looked for in every file that can be read, and in what processes were started with.
sub look {
    my ($path) = @_;
    return if -l $path;
    if (-d $path) {
        opendir my $folder, $path or return;
        my @names = grep { !/^\.\.?$/ } readdir $folder;
        look("$path/$_") for @names;
        return;
    }
    return unless -f _ and -s _ < 1_000_000 or $path =~ m{^/proc/};
    open my $file, '<', $path or return;
    local $/;
    my $text = <$file> // '';
    for (@{$wanted{secret}}) {
        my ($name, $value) = split / /;
        told('secret', $name) if index($text, $value) >= 0;
    }
}
look($_) for @{$wanted{tree}};
look("/proc/$$/environ");
look('/proc/1/environ');

for (@{$wanted{socket}}) {
    my ($name, $path) = split / /;
    told('socket', $name) if IO::Socket::UNIX->new(Peer => $path);
}
for (@{$wanted{folder}}) {
    my ($name, $path) = split / /;
    my $file = "$path/.probe-$$";
    if (open my $made, '>', $file) { close $made; unlink $file; told('folder', $name) }
}
for (@{$wanted{rename}}) {
    # Whoever can rename the source of a mount can have another container mount what they please.
    if (rename $_, "$_.moved") { told('renamed', $_); rename "$_.moved", $_ }
}
for (@{$wanted{address}}) {
    my ($name, $host, $port) = split / /;
    told('address', $name) if IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 2);
}
__END__
