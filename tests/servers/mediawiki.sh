#!/usr/bin/env bash
# A real MediaWiki with about 120 pages, for the tests of a connector: Debian's package, SQLite, PHP's own server.
#
#   tests/servers/mediawiki.sh FOLDER PORT
#
# Everything of the wiki is in FOLDER; what is there already is served again. It prints `ready URL` and stays
# until it is killed. Exit code 3: packages are missing, and only root may install them.
# mediawiki-change.sh changes a few pages, also while this runs; mediawiki-readers.sh tells who reads which.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/servers/serve.sh
. "$here/serve.sh"

mkdir -p "${1:?FOLDER}"
folder=$(cd "$1" && pwd)
port=${2:?PORT}
log=$folder/server.log
mediawiki=/usr/share/mediawiki
trap 'tail -n 20 "$log" >&2' ERR

if ! [ -e "$mediawiki/api.php" ] || ! have php curl setpriv ||
    ! php -r 'exit((int) !(extension_loaded("pdo_sqlite") && extension_loaded("intl") && extension_loaded("mbstring")));'; then
    # The package insists on an HTTP server; this is the smallest one, and nothing starts it.
    need "$log" mediawiki micro-httpd php-cli php-cgi php-sqlite3 php-intl php-mbstring php-xml curl
fi

export MW_CONFIG_FILE=$folder/LocalSettings.php
export WIKI_URL=http://127.0.0.1:$port
php=(php -d opcache.enable_cli=1 -d memory_limit=512M)

if ! [ -e "$folder/filled" ]; then
    rm -rf "$folder/db" "$folder/cache" "$folder/tmp" "$MW_CONFIG_FILE"
    mkdir -p "$folder/cache" "$folder/tmp"
    "${php[@]}" "$mediawiki/maintenance/install.php" --dbtype sqlite --dbpath "$folder/db" --dbname wiki \
        --server "$WIKI_URL" --scriptpath "" --confpath "$folder" --skins Vector \
        --pass not-a-secret-admin "Acme handbook" admin >>"$log" 2>&1
    cat >>"$MW_CONFIG_FILE" <<'PHP'

# The port differs from run to run.
$wgServer = getenv( 'WIKI_URL' ) ?: 'http://127.0.0.1';
$wgCacheDirectory = __DIR__ . '/cache';
$wgTmpDirectory = __DIR__ . '/tmp';
$wgLocalisationCacheConf['store'] = 'array';
$wgParserCacheType = CACHE_DB;
# A request only does what it was asked for.
$wgJobRunRate = 0;
# The pages are dated long ago and must stay among the recent changes.
$wgRCMaxAge = 100 * 365 * 86400;
wfLoadExtension( 'TextExtracts' );

# A namespace everyone reads and only staff edits.
define( 'NS_STAFF', 3000 );
define( 'NS_STAFF_TALK', 3001 );
$wgExtraNamespaces[NS_STAFF] = 'Staff';
$wgExtraNamespaces[NS_STAFF_TALK] = 'Staff_talk';
$wgNamespaceProtection[NS_STAFF] = [ 'staff' ];
# A namespace only staff reads. MediaWiki leaves this to a hook, such as Extension:Lockdown.
define( 'NS_BOARD', 3002 );
define( 'NS_BOARD_TALK', 3003 );
$wgExtraNamespaces[NS_BOARD] = 'Board';
$wgExtraNamespaces[NS_BOARD_TALK] = 'Board_talk';
$wgNamespaceProtection[NS_BOARD] = [ 'staff' ];
$wgGroupPermissions['staff']['staff'] = true;
$wgGroupPermissions['sysop']['staff'] = true;
# Groups that only decide what is read.
$wgGroupPermissions['finance']['read'] = true;
$wgGroupPermissions['board']['read'] = true;
$wgHooks['getUserPermissionsErrors'][] = static function ( $title, $user, $action, &$result ) {
	if ( $action === 'read' && $title->getNamespace() === NS_BOARD && !$user->isAllowed( 'staff' ) ) {
		$result = 'badaccess-group0';
		return false;
	}
	return true;
};
# A page of `Category:Restricted to GROUP` is read by that group only. Who comes without an account is the connector,
# which a gateway lets through.
$wgHooks['getUserPermissionsErrors'][] = static function ( $title, $user, $action, &$result ) {
	if ( $action !== 'read' || !$user->isRegistered() ) {
		return true;
	}
	$groups = [];
	foreach ( array_keys( $title->getParentCategories() ) as $category ) {
		if ( str_starts_with( $category, 'Category:Restricted_to_' ) ) {
			$groups[] = substr( $category, strlen( 'Category:Restricted_to_' ) );
		}
	}
	$manager = MediaWiki\MediaWikiServices::getInstance()->getUserGroupManager();
	if ( $groups && !array_intersect( $groups, $manager->getUserEffectiveGroups( $user ) ) ) {
		$result = 'badaccess-group0';
		return false;
	}
	return true;
};
PHP
    "${php[@]}" "$here/mediawiki-pages.php" fill >>"$log" 2>&1
    touch "$folder/filled"
fi

export PHP_CLI_SERVER_WORKERS=4
serve "$port" "$WIKI_URL" "$WIKI_URL/api.php?action=query&meta=siteinfo&format=json" "$log" \
    "${php[@]}" -S "127.0.0.1:$port" -t "$mediawiki"
